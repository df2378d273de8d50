# SPDX-License-Identifier: MIT
"""How many patches token merging leaves in each block, and which models it goes with."""

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError

LARGEST = 0.5  # the share that a model of any depth can reach by merging at most half in a block


def check_merge(merge: float, quantize: str = "none", attention: bool = False) -> None:
    """Raises a `UserError` for what no model's file can have.

    Args:
        merge: a share; 0 merges nothing and goes with everything.
        quantize: the file's mode.
        attention: whether the attention of the last block is an output.
    """
    if not 0 <= merge <= LARGEST:
        raise UserError(
            f"merge: expected a share above 0, at most {LARGEST}, received {merge:g}. It is the "
            "share of the patches that the blocks compute less, on average."
        )
    if merge and quantize == "int8_io":
        raise UserError(
            "merge: does not go with quantize='int8_io': which patches are most alike is not told "
            "by 256 numbers. dynamic_int8 and static_int8 keep that part in floats."
        )
    if merge and attention:
        raise UserError(
            "merge: does not go with attention: its rows and columns would be merged patches, "
            "which have no place in the image."
        )


def patches_after(config: ViTConfig, merge: float) -> tuple[int, ...]:
    """Patches that are left after the attention of each block.

    The same number is merged in each block of the first third, up to rounding, so many that the
    MLPs of all blocks together meet fewer patches by the share `merge`. What merges early is saved
    in all blocks that follow, and every merging costs time itself
    (`benchmarks/export/README.md` has the schedules that were compared). With s merged in each of
    K of L blocks, the MLPs meet s + 2 s + ... + K s fewer, and K s in each of the other L - K.

    Args:
        config: the model's configuration.
        merge: 0 to `LARGEST`.

    Raises:
        UserError: for a share out of bounds, and for a model that merging does not go with.
    """
    depth, patches = config.depth, config.num_patches
    check_merge(merge)
    if not merge:
        return (patches,) * depth
    _check_model(config)
    merging = -(-depth // 3)
    saved = merging * (merging + 1) / 2 + (depth - merging) * merging  # blocks that save, in all
    left = [patches]
    for i in range(1, merging + 1):
        wanted = round(patches * (1 - merge * depth / saved * i))
        left.append(max(wanted, left[-1] - left[-1] // 2))  # of each pair one is left at least
    if left[-1] == patches:
        raise UserError(f"merge={merge:g} of {patches} patches merges none. Name a larger share.")
    return (*left[1:], *[left[-1]] * (depth - merging))


def _check_model(config: ViTConfig) -> None:
    """Positions that belong to pairs of tokens, or turn each of them, do not know merged ones."""
    if config.depth == 1:
        raise UserError("merge: a model of one block has no block after the merging to save in.")
    if config.rotary != "none":
        raise UserError(
            f"merge: does not go with rotary positions (rotary={config.rotary!r}): a merged patch "
            "would have to be turned by several angles."
        )
    if config.relative_position_bias:
        raise UserError(
            "merge: does not go with relative_position_bias: a merged patch has no one offset to "
            "the others."
        )
