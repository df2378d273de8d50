# SPDX-License-Identifier: MIT
"""Latency of the exports beside KerasHub's, ONNX Runtime, OpenVINO and torch.compile.

    python benchmarks/export/latency.py --variant Ti/16 --repeats 3
    python benchmarks/export/latency.py --variant S/16 --like clip dinov3 siglip2 --repeats 3

Every contender is a process of its own on the same core and gets a quarter of a second at a time,
in turns (`keras_vit.deploy.time_files`); each repeat starts the processes again. Ratios are
those of the median CPU time of a call, which on one pinned thread is the wall clock without the
other jobs of the machine.

All have one size of model with random weights at 224 pixels: ours is exported to LiteRT and ONNX,
KerasHub's `ViTImageClassifier` by its own `export(format="litert")` and timm's model by
`torch.onnx.export`; OpenVINO reads our ONNX file, and torch compiles timm's model. With `--like`,
all are of that size and have the options of a published family, which KerasHub's model has not.
Needs the extra `bench`. What cannot run is left out, with its reason.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

_PEERS = Path(__file__).with_name("peers.py")
_OURS = "LiteRT float32"
# Contender: file, and how `peers.py` calls it where keras_vit cannot run it.
_CONTENDERS = {
    _OURS: ("none.tflite", None),
    "LiteRT float16": ("float16.tflite", None),
    "LiteRT dynamic_int8": ("dynamic_int8.tflite", None),
    "LiteRT static_int8": ("static_int8.tflite", None),
    "KerasHub, LiteRT": ("keras_hub.tflite", None),
    "KerasHub, LiteRT, batch fixed to 1": ("keras_hub_1.tflite", None),
    "ONNX Runtime float32": ("none.onnx", None),
    "ONNX Runtime dynamic int8": ("dynamic_int8.onnx", None),
    "OpenVINO float32": ("none.onnx", "openvino"),
    "OpenVINO bfloat16": ("none.onnx", "openvino_bfloat16"),
    "timm, ONNX Runtime": ("timm.onnx", "onnxruntime"),
    "timm, torch.compile": ("config.json", "torch_compile"),
    "timm, torch.compile, frozen": ("config.json", "torch_compile_frozen"),
}
_BARS = (
    (_OURS, "KerasHub, LiteRT", 0.93),
    (_OURS, "ONNX Runtime float32", 0.95),
    (_OURS, "timm, ONNX Runtime", 0.95),
    (_OURS, "OpenVINO float32", 1.0),
    (_OURS, "timm, torch.compile", 0.80),
    ("LiteRT dynamic_int8", _OURS, 0.50),
    ("LiteRT static_int8", _OURS, 0.38),
    ("LiteRT dynamic_int8", "ONNX Runtime dynamic int8", 0.80),
    ("LiteRT dynamic_int8", "OpenVINO bfloat16", 0.85),
)
_FAMILY_BARS = ((_OURS, "timm, ONNX Runtime", 1.0), ("LiteRT dynamic_int8", _OURS, 0.55))
_MOST_OPERATORS, _MOST_PARTITIONS = 320, 2
# What the families' own models of any size have in common.
_FAMILIES: dict[str, dict] = {
    "vit": {},
    "clip": {
        **{"patch_bias": False, "embedding_norm": True, "activation": "quick_gelu"},
        **{"norm_epsilon": 1e-5, "num_classes": 512, "head_bias": None},
    },
    "dinov3": {
        **{"position": "none", "rotary": "dinov3", "rotary_temperature": 100.0},
        **{"register_tokens": 4, "layer_scale": 1.0, "qkv_bias": "query_value"},
        **{"norm_epsilon": 1e-5, "num_classes": 0},
    },
    "siglip2": {
        **{"class_token": False, "pool": "map", "activation": "gelu_tanh", "num_classes": 0},
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variant", default="Ti/16", help="see `keras-vit list models`")
    parser.add_argument(
        "--like", nargs="+", choices=_FAMILIES, default=["vit"], help="the options of this family"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of a contender and repeat")
    parser.add_argument("--only", help="names of contenders, with semicolons")
    parser.add_argument("--write", help=argparse.SUPPRESS)  # this script, in a process of its own
    args = parser.parse_args()
    if args.write:
        _write_files(args.variant, args.like[0], Path(args.write), _names(args))
        return
    for family in args.like:
        _compare(args, family)


def _names(args: argparse.Namespace) -> list[str]:
    return args.only.split(";") if args.only else list(_CONTENDERS)


def _compare(args: argparse.Namespace, family: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        # The process that times holds no Keras.
        command = [sys.executable, __file__, "--variant", args.variant, "--like", family]
        only = ["--only", ";".join(_names(args))]
        subprocess.run([*command, *only, "--write", folder], check=True, stdout=sys.stderr)
        names, missing = _runnable(_names(args), Path(folder))
        repeats = [_measure(names, Path(folder), args.seconds) for _ in range(args.repeats)]
        like = "" if family == "vit" else f" like {family}"
        _print_times(f"{args.variant}{like}", repeats)
        for name, reason in missing.items():
            print(f"\n{name} is left out: {reason}")
        _print_bars(repeats, _BARS if family == "vit" else _FAMILY_BARS)
        _print_graph(Path(folder) / "none.tflite", bar=family == "vit")


def _write_files(variant: str, family: str, folder: Path, names: list[str]) -> None:
    import numpy as np

    from keras_vit import ViTConfig, vit
    from keras_vit.export import fold, to_onnx, to_tflite
    from keras_vit.export.quantization import MODES

    config = ViTConfig.of(variant, **_FAMILIES[family])
    (folder / "config.json").write_text(json.dumps(dataclasses.asdict(config)), encoding="utf-8")
    model = _randomized(vit(config))
    shape = (8, *config.image_size, config.channels)
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype("float32")
    folded = fold(model)
    for mode in MODES:
        if mode != "int8_io":
            to_tflite(folded, folder / f"{mode}.tflite", quantize=mode, calibration=pixels)
    for mode in ("none", "dynamic_int8"):
        to_onnx(folded, folder / f"{mode}.onnx", quantize=mode)
    if family == "vit" and any(name.startswith("KerasHub") for name in names):
        _write_keras_hub(config, folder)
    if "timm, ONNX Runtime" in names:
        _write_timm(config, folder / "timm.onnx")


def _write_keras_hub(config, folder: Path) -> None:
    import keras_hub
    import tensorflow as tf

    shape = (*config.image_size, config.channels)
    backbone = keras_hub.models.ViTBackbone(
        image_shape=shape,
        patch_size=config.patch_size,
        num_layers=config.depth,
        num_heads=config.num_heads,
        hidden_dim=config.width,
        mlp_dim=config.mlp_dim,
        layer_norm_epsilon=1e-6,
    )
    model = keras_hub.models.ViTImageClassifier(backbone, num_classes=config.num_classes)
    _randomized(model)
    model.export(str(folder / "keras_hub.tflite"), format="litert", verbose=False)
    fixed = [tf.TensorSpec((1, *shape), "float32", name="images")]
    path = str(folder / "keras_hub_1.tflite")
    model.export(path, format="litert", verbose=False, input_signature=fixed)


def _write_timm(config, path: Path) -> None:
    import torch

    from keras_vit.weights.parity.timm_reference import timm_model

    images = torch.zeros(1, config.channels, *config.image_size)
    torch.onnx.export(timm_model(config).eval(), (images,), path)


def _randomized(model):
    """Without biases of zero and gains of one, which converters leave out."""
    import numpy as np

    random = np.random.default_rng(0)
    weights = [w + random.normal(0, 0.02, w.shape).astype("float32") for w in model.get_weights()]
    model.set_weights(weights)
    return model


def _runnable(names: list[str], folder: Path) -> tuple[list[str], dict[str, str]]:
    """The contenders that run here, and why the others do not."""
    from keras_vit.errors import UserError

    missing = {}
    for name in names:
        if not (folder / _CONTENDERS[name][0]).exists():
            missing[name] = "it has no such model"
            continue
        try:
            _measure([name], folder, seconds=0)
        except UserError as error:
            missing[name] = str(error)
    return [name for name in names if name not in missing], missing


def _measure(names: list[str], folder: Path, seconds: float) -> dict:
    from keras_vit import ViTConfig
    from keras_vit.deploy import time_files

    values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config = ViTConfig.from_dict(values)
    shape = (*config.image_size, config.channels)
    workers = {
        name: [sys.executable, str(_PEERS), kind]
        for name in names
        if (kind := _CONTENDERS[name][1]) is not None
    }
    results = time_files(
        {name: folder / _CONTENDERS[name][0] for name in names},
        shape,
        seconds=seconds,
        workers=workers,
    )
    return {result.name: result for result in results}


def _print_times(variant: str, repeats: list[dict]) -> None:
    from keras_vit import hardware

    features = [flag for flag in hardware.NOTABLE_FLAGS if flag in hardware.cpu_flags()]
    print(f"{variant}, batch 1, 1 thread, {hardware.cpu_name()} ({', '.join(features)})\n")
    print("| | ms by the clock | CPU ms | CPU ms to our float32 | file | memory |")
    print("|---|---|---|---|---|---|")
    for name, result in repeats[0].items():
        times = " ".join(f"{found[name].median_ms:.1f}" for found in repeats)
        cpu = " ".join(f"{found[name].cpu_ms:.1f}" for found in repeats)
        ratios = " ".join(f"{ratio:.2f}" for ratio in _ratios(repeats, name, _OURS))
        size = "" if name.startswith("timm") else f"{result.bytes / 1e6:.1f} MB"
        memory = f"{result.peak_mb:.0f} MB"
        print(f"| {name} | {times} | {cpu} | {ratios} | {size} | {memory} |")


def _print_bars(repeats: list[dict], bars: tuple) -> None:
    print("\n| | to | ratio of each repeat | bar | |\n|---|---|---|---|---|")
    for name, other, bar in bars:
        ratios = _ratios(repeats, name, other)
        if ratios:
            said = "met" if max(ratios) <= bar else "missed" if min(ratios) > bar else "unsure"
            shown = " ".join(f"{ratio:.2f}" for ratio in ratios)
            print(f"| {name} | {other} | {shown} | {bar:.2f} | {said} |")


def _ratios(repeats: list[dict], name: str, other: str) -> list[float]:
    return [
        found[name].cpu_ms / found[other].cpu_ms
        for found in repeats
        if name in found and other in found
    ]


def _print_graph(path: Path, bar: bool) -> None:
    """Operators of a LiteRT file, and the parts that XNNPACK takes over."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    operators, delegated = (
        [step["op_name"] for step in _allocated(Interpreter(str(path), **options))]
        for options in ({"experimental_op_resolver_type": plain}, {})
    )
    count, parts = len(operators), delegated.count("DELEGATE")
    most = f" (bar {_MOST_OPERATORS})" if bar else ""
    print(f"\n{count} operators{most}, {parts} XNNPACK partition{'s' * (parts != 1)}", end="")
    print(f" (bar 1, at most {_MOST_PARTITIONS})")


def _allocated(interpreter) -> list[dict]:
    interpreter.allocate_tensors()
    return interpreter._get_ops_details()


if __name__ == "__main__":
    main()
