#!/usr/bin/env python
# SPDX-License-Identifier: MIT
"""Fine-tunes the same model here and in PyTorch, and compares the losses of 30 steps.

    python benchmarks/finetuning.py                      # with the extra parity
    python benchmarks/finetuning.py clip_base --batch 4
    python benchmarks/finetuning.py --patches 3 --double
    python benchmarks/finetuning.py --depth 2 --patches 3 \\
        --store tests/fixtures/training/backbones.json

Backbones of transformers with random weights, and a new head of zeros: DINOv2-small with registers
and CLIP-B/16. AdamW, gradients clipped at a norm of 1, a tenth of the rate in the first step and
all of it from the eleventh. --double trains in PyTorch once more in float64, and says how far both
are from that: what rounding alone does in 30 steps of so many numbers. --store keeps PyTorch's
losses for `tests/training/test_beside_pytorch.py` and trains nothing here. Weights, images and
labels are drawn by NumPy's old generator, whose stream is frozen, so that no file of weights is
kept.
"""

import argparse
import json
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

CLASSES, STEPS = 5, 30
BACKBONES: dict[str, dict[str, Any]] = {  # as in their config.json
    "dinov2_small": {
        "model_type": "dinov2_with_registers",
        "hidden_size": 384,
        "num_hidden_layers": 12,
        "num_attention_heads": 6,
        "mlp_ratio": 4,
        "patch_size": 14,
        "image_size": 224,
        "num_register_tokens": 4,
    },
    "clip_base": {
        "model_type": "clip_vision_model",
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "patch_size": 16,
        "image_size": 224,
        "hidden_act": "quick_gelu",
        "layer_norm_eps": 1e-5,
    },
}
OPTIMIZER = {  # fields of `keras_vit.recipes.Optimizer`
    "name": "adamw",
    "learning_rate": 3e-4,
    "weight_decay": 0.05,
    "clip_norm": 1.0,
}


def drawn(name: str, shape: list[int]) -> np.ndarray:
    """The tensor of a name, float32: near 1 for the scales of norms and layers, near 0 else."""
    values = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    scales = name.endswith((".lambda1", "norm.weight", "norm1.weight", "norm2.weight"))
    return (1 + 0.1 * values if scales else 0.03 * values).astype("float32")


def batches(image_size: int, batch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images of 0 to 255, float32 `(batch, size, size, 3)`, brighter for a higher class; labels."""
    random = np.random.RandomState(0)
    for _ in range(STEPS):
        labels = random.randint(0, CLASSES, batch)
        noise = random.randint(0, 128, (batch, image_size, image_size, 3))
        yield (noise + 25 * labels[:, None, None, None]).astype("float32"), labels


def torch_losses(
    settings: dict[str, Any], batch: int, double: bool = False
) -> tuple[dict[str, list[int]], list[float]]:
    """The shapes of the backbone's tensors by their names, and the losses of PyTorch."""
    import torch

    backbone, shapes = _torch_backbone(settings)
    kind = torch.float64 if double else torch.float32
    backbone = backbone.to(kind)
    head = torch.nn.Linear(backbone.config.hidden_size, CLASSES, dtype=kind)
    torch.nn.init.zeros_(head.weight), torch.nn.init.zeros_(head.bias)
    named = [*backbone.named_parameters(), *(("head." + n, p) for n, p in head.named_parameters())]
    kernels = [p for name, p in named if _is_kernel(name, p)]
    others = [p for name, p in named if not _is_kernel(name, p)]
    optimizer = torch.optim.AdamW(
        [
            {"params": kernels, "weight_decay": OPTIMIZER["weight_decay"]},
            {"params": others, "weight_decay": 0.0},
        ],
        eps=1e-8,
    )
    losses = []
    for step, (images, labels) in enumerate(batches(settings["image_size"], batch)):
        for group in optimizer.param_groups:
            group["lr"] = OPTIMIZER["learning_rate"] * min(1.0, 0.1 + 0.09 * step)
        pixels = torch.tensor(images, dtype=kind).permute(0, 3, 1, 2) / 127.5 - 1
        logits = head(backbone(pixels).pooler_output)
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(labels))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for _, p in named], OPTIMIZER["clip_norm"])
        optimizer.step()
        losses.append(loss.item())
    return shapes, losses


def _torch_backbone(settings: dict[str, Any]):
    """A model of transformers, and the shapes of its tensors by the names that its files have,
    which are not those of its parameters."""
    from safetensors.numpy import load_file, save_file
    from transformers import AutoConfig, AutoModel

    settings = dict(settings)
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    with tempfile.TemporaryDirectory() as folder:
        AutoModel.from_config(config).save_pretrained(folder)
        file = Path(folder, "model.safetensors")
        shapes = {name: list(array.shape) for name, array in sorted(load_file(file).items())}
        tensors = {name: drawn(name, shape) for name, shape in shapes.items()}
        save_file(tensors, file, {"format": "pt"})
        return AutoModel.from_pretrained(folder, attn_implementation="eager").float(), shapes


def _is_kernel(name: str, parameter) -> bool:
    """Whether a parameter decays: a matrix or a convolution, and no table of positions."""
    return name.endswith(".weight") and parameter.ndim > 1 and "position" not in name


def keras_losses(settings: dict[str, Any], shapes: dict[str, list[int]], batch: int) -> list[float]:
    """The losses here, from the same weights, read from files as transformers writes them."""
    import keras

    from keras_vit.recipes import Optimizer
    from keras_vit.training.optimizers import make_optimizer
    from keras_vit.training.schedules import WarmupAndDecay
    from keras_vit.weights import load_model
    from keras_vit.weights.formats.safetensors import write_safetensors

    with tempfile.TemporaryDirectory() as folder:
        tensors = [
            (name, tuple(shape), lambda name=name, shape=shape: drawn(name, shape))
            for name, shape in shapes.items()
        ]
        write_safetensors(Path(folder, "model.safetensors"), tensors, {"format": "pt"})
        Path(folder, "config.json").write_text(json.dumps(settings))
        model = load_model(folder, num_classes=CLASSES, pixel_mean=0.5, pixel_std=0.5)
    plan = Optimizer(**OPTIMIZER)
    schedule = WarmupAndDecay(plan.learning_rate, 1000, warmup=10, kind="constant", start=0.1)
    optimizer = make_optimizer(plan, schedule, model.trainable_variables)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, jit_compile=False)
    made = batches(settings["image_size"], batch)
    return [float(model.train_on_batch(images, labels)) for images, labels in made]


def apart(losses: list[float], reference: list[float]) -> float:
    """The largest difference, as a share of the reference."""
    return np.max(np.abs(np.array(losses) / reference - 1))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", choices=[*BACKBONES, []], help="default: all")
    parser.add_argument("--depth", type=int, help="blocks; default: as published")
    parser.add_argument("--patches", type=int, help="along a side; default: as published")
    parser.add_argument("--batch", type=int, default=8, help="images in a step; default: 8")
    parser.add_argument("--double", action="store_true", help="PyTorch in float64 as well")
    parser.add_argument("--store", type=Path, help="keep what PyTorch says in this file")
    flags = parser.parse_args()
    stored = {}
    for name in flags.names or BACKBONES:
        settings = dict(BACKBONES[name])
        if flags.depth is not None:
            settings["num_hidden_layers"] = flags.depth
        if flags.patches is not None:
            settings["image_size"] = flags.patches * settings["patch_size"]
        shapes, theirs = torch_losses(settings, flags.batch)
        stored[name] = {
            "settings": settings,
            "batch": flags.batch,
            "shapes": shapes,
            "losses": theirs,
        }
        if flags.store is None:
            ours = keras_losses(settings, shapes, flags.batch)
            print(
                f"{name}: {settings['num_hidden_layers']} blocks, {settings['image_size']} pixels, "
                f"batch {flags.batch}: loss {theirs[0]:.4f} to {theirs[-1]:.4f}, at most "
                f"{apart(ours, theirs):.1e} of it apart in {STEPS} steps",
                flush=True,
            )
            if flags.double:
                exact = torch_losses(settings, flags.batch, double=True)[1]
                print(
                    f"from PyTorch in float64: {apart(ours, exact):.1e} here, "
                    f"{apart(theirs, exact):.1e} in PyTorch",
                    flush=True,
                )
    if flags.store is not None:
        import torch
        import transformers

        versions = {"torch": torch.__version__, "transformers": transformers.__version__}
        flags.store.write_text(json.dumps({"versions": versions, **stored}, indent=1) + "\n")


if __name__ == "__main__":
    main()
