# SPDX-License-Identifier: MIT
import numpy as np
import pytest

from keras_vit import UserError, ViTConfig
from keras_vit.export.merging import LARGEST, check_merge, patches_after
from tests.models.test_vit import OPTIONS, tiny


def test_the_blocks_compute_that_share_less():
    config = ViTConfig.of("Ti/16")
    left = patches_after(config, 0.3)
    assert np.mean(left) / config.num_patches == pytest.approx(0.7, abs=0.5 / config.num_patches)
    merged = -np.diff((config.num_patches, *left))
    assert set(merged[:4]) == {16, 17} and not merged[4:].any()  # rounded, of twelve blocks


@pytest.mark.parametrize("depth", range(2, 13))
@pytest.mark.parametrize("patches", [4, 5, 6, 49])
def test_every_depth_reaches_the_largest_share(depth, patches):
    left = patches_after(tiny(depth=depth, image_size=(4, 4 * patches)), LARGEST)
    before = (patches, *left[:-1])
    assert all(a >= b >= a // 2 for a, b in zip(before, left, strict=True)) and left[-1] > 0
    if patches == 49:
        assert np.mean(left) / patches == pytest.approx(1 - LARGEST, abs=1 / patches)


def test_nothing_to_merge_is_every_patch_everywhere():
    assert patches_after(tiny(depth=1), 0.0) == (24,)
    assert patches_after(tiny(**OPTIONS["BEiT"]), 0.0) == (24, 24)


@pytest.mark.parametrize("share", [-0.1, 0.51, float("nan")])
def test_shares_out_of_bounds(share):
    with pytest.raises(UserError, match=r"merge: expected a share above 0, at most 0\.5"):
        patches_after(tiny(), share)


def test_what_merging_does_not_go_with_is_named():
    for options, name in (
        (OPTIONS["BEiT"], "relative_position_bias"),
        (OPTIONS["EVA-02"], "rotary positions"),
        ({"depth": 1}, "a model of one block"),
    ):
        with pytest.raises(UserError, match=f"merge: .*{name}"):
            patches_after(tiny(**options), 0.3)
    with pytest.raises(UserError, match="of 24 patches merges none"):
        patches_after(tiny(), 0.01)
    with pytest.raises(UserError, match="does not go with quantize='int8_io'"):
        check_merge(0.3, "int8_io")
    with pytest.raises(UserError, match="does not go with attention"):
        check_merge(0.3, attention=True)
    check_merge(0.0, "int8_io", attention=True)
