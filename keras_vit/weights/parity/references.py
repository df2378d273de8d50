# SPDX-License-Identifier: MIT
"""What the references of several families need: timm, torchvision, and any model of PyTorch, run.

The file's own tensors go in under the file's own names: nothing of our tables is used, so that a
mistake in them shows.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_vit.errors import UserError
from keras_vit.weights.adapter import Taps
from keras_vit.weights.formats import write_safetensors
from keras_vit.weights.names import matches

if TYPE_CHECKING:
    from keras_vit.weights.source import Source

_DECLARED: list[Any] = []
_TORCHVISION_OPERATORS = (
    "nms qnms roi_align _roi_align_backward roi_pool _roi_pool_backward ps_roi_align "
    "_ps_roi_align_backward ps_roi_pool _ps_roi_pool_backward deform_conv2d "
    "_deform_conv2d_backward"
)


def import_timm():
    """Imports timm, in any process, with any torchvision."""
    import_torchvision()
    import timm

    return timm


def import_torchvision() -> None:
    """Imports torchvision as timm and transformers need it: for image transforms, not used here.

    Two things can be in the way. TensorFlow and triton bring an LLVM each, and the process dies
    when triton's is loaded second (TensorFlow 2.21, triton 3.8): torch looks for triton as soon as
    torchvision is imported, takes an import error for an answer, and needs it on GPUs alone.
    And where torchvision's compiled operators cannot be loaded, as with a torch that was built
    for another device, its import fails unless their names are declared. To declare them before
    torchvision does ends the process, too.
    """
    if "tensorflow" in sys.modules:
        sys.modules.setdefault("triton", None)
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        for name in _TORCHVISION_OPERATORS.split():
            library.define(f"{name}(Tensor x) -> Tensor")
        _DECLARED.append(library)  # the names live as long as this object


def run_torch(
    model,
    source: "Source",
    images: np.ndarray,
    layers,
    state: Mapping[str, np.ndarray] | None = None,
    embedding_norm=None,
    forward: Callable | None = None,
) -> Taps:
    """Loads tensors into a model of PyTorch, strictly, and runs it with hooks on every block.

    Args:
        model: of timm, or another module that returns logits.
        source: an opened checkpoint.
        images: `(batch, height, width, channels)`, normalised.
        layers: its blocks, first to last.
        state: the tensors by the names of the model's state dict, where these are not those of the
            checkpoint. Biases that it lacks are zeros.
        embedding_norm: its norm before the blocks, where it has one.
        forward: `forward(model, images)` with images `(batch, channels, height, width)`, where a
            call does not give what the model computes.

    Raises:
        UserError: where the model wants other tensors.
    """
    import torch

    state = source.checkpoint if state is None else state
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in state.items()}
    missing = _load_state(model, tensors)
    if missing:
        raise UserError(f"{source.checkpoint.source}: the reference also wants {missing[:6]}.")
    return _tapped(model, images, layers, lambda outputs: outputs, embedding_norm, forward)


def run_transformers(
    source: "Source",
    settings: dict[str, Any],
    images: np.ndarray,
    result: Callable,
    embedding_norm: str | None = None,
    forward: Callable | None = None,
) -> tuple[Taps, dict[str, str]]:
    """Has transformers load a checkpoint by itself, under the names in the file, and runs it.

    Args:
        source: an opened checkpoint.
        settings: its `config.json`; `architectures` names the class.
        images: `(batch, height, width, channels)`, normalised.
        result: what of the outputs of that class is compared with ours.
        embedding_norm: last part of the name of its norm before the blocks, if it has one.
        forward: as in `run_torch`.

    Raises:
        UserError: where transformers wants tensors that the file lacks.
    """
    import_torchvision()
    import transformers

    kind = getattr(transformers, settings["architectures"][0])
    options = {}
    if kind.__name__ in ("ViTModel", "DeiTModel"):
        options = {"add_pooling_layer": source.config.representation_size > 0}
    names = [name for name in source.whole if not matches(name, source.options.skip)]
    with tempfile.TemporaryDirectory() as folder:
        tensors = [(n, source.whole.specs[n].shape, partial(source.whole.get, n)) for n in names]
        write_safetensors(Path(folder) / "model.safetensors", tensors, {"format": "pt"})
        (Path(folder) / "config.json").write_text(json.dumps(settings), encoding="utf-8")
        model, told = kind.from_pretrained(folder, output_loading_info=True, **options)
    missing = [name for name in told["missing_keys"] if not name.endswith("mask_token")]
    if missing:
        raise UserError(f"{source.checkpoint.source}: the reference also wants {missing[:6]}.")
    norm = _named(model, embedding_norm) if embedding_norm else None
    layers = _layers_of(getattr(model, "vision_model", model))
    taps = _tapped(model, images, layers, result, norm, forward)
    return taps, {"transformers": transformers.__version__}


def _named(model, last_part: str):
    """The module of a model whose name ends so."""
    return next(m for name, m in model.named_modules() if name.split(".")[-1] == last_part)


def _layers_of(model):
    """The blocks of a model of transformers: its longest list of modules."""
    import torch

    lists = [m for m in model.modules() if isinstance(m, torch.nn.ModuleList)]
    return max(lists, key=len)


def _tapped(
    model,
    images: np.ndarray,
    layers,
    result: Callable,
    embedding_norm=None,
    forward: Callable | None = None,
) -> Taps:
    """What a model of PyTorch and its blocks compute of images; see `run_torch`."""
    import torch

    found: dict[str, Any] = {}
    first = layers[0] if embedding_norm is None else embedding_norm
    first.register_forward_pre_hook(lambda module, inputs: found.update(patch_encoder=inputs[0]))
    if embedding_norm is not None:
        embedding_norm.register_forward_hook(_keep(found, "embedding_norm"))
    for i, layer in enumerate(layers):
        layer.register_forward_hook(_keep(found, f"block_{i:02d}"))
    model.eval()
    with torch.no_grad():
        channels_first = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
        outputs = forward(model, channels_first) if forward else model(channels_first)
    found["logits"] = result(outputs)
    return {name: tensor.numpy() for name, tensor in found.items()}


def _load_state(model, state: dict[str, Any]) -> list[str]:
    """Loads a state dict; returns what is missing in it, and what is too much."""
    own = model.state_dict()
    result = model.load_state_dict(state, strict=False)
    optional = {name for name in result.missing_keys if name.endswith(".bias")}
    for name in optional:  # a file without these biases means zeros
        own[name].zero_()
    return [*(set(result.missing_keys) - optional), *result.unexpected_keys]


def _keep(found: dict[str, Any], name: str) -> Callable:
    def hook(module, inputs, output):
        found[name] = output[0] if isinstance(output, tuple) else output

    return hook
