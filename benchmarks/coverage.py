#!/usr/bin/env python
# SPDX-License-Identifier: MIT
"""Every Vision Transformer of timm and transformers, made small, saved, loaded here and compared.

    pip install -e '.[parity]'
    python benchmarks/coverage.py                      # all; 2 cores, about 10 minutes
    python benchmarks/coverage.py --only vit_base      # names that contain a text
    python benchmarks/coverage.py --torch OTHER/bin/python   # PyTorch in an environment of its own

Each architecture of timm keeps its options and its number of heads, and gets 2 blocks of 8 channels
a head; all its parameters are random. It is loaded from a *folder* (as timm's save_for_hf writes
it), from a *bare file* with heads and image size as arguments, from the same with its architecture
as an argument (*named*), and from a folder with the *hub header* alone: a config.json without
model_args. `exact`: the logits differ by at most 2e-5 max(1, |logit|), two libraries in float32;
`refused`: an error; `silent`: anything else, and the exit code is 1.

PyTorch runs in a process of its own: it and TensorFlow do not always live in one.
"""

import argparse
import collections
import json
import os
import re
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

TOLERANCE = 2e-5
FORMS = ("folder", "bare", "named", "hub")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="a regular expression of names")
    parser.add_argument("--torch", default=sys.executable, help="a Python with timm, transformers")
    parser.add_argument("--write", metavar="FOLDER", help="write the cases there, and stop")
    parser.add_argument("--cases", metavar="FOLDER", help="read what --write wrote")
    parser.add_argument("--out", metavar="FILE", help="the table as Markdown")
    args = parser.parse_args()
    if args.write:
        return write_cases(Path(args.write), args.only)
    if args.cases:
        return report(read_cases(Path(args.cases), args.only), Path(args.cases), args.out)
    with tempfile.TemporaryDirectory() as folder:
        command = [args.torch, __file__, "--write", folder, "--only", args.only]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        subprocess.run(command, check=True, env=environment)
        return report(read_cases(Path(folder), args.only), Path(folder), args.out)


# With PyTorch.


def write_cases(out: Path, only: str) -> int:
    """Writes a folder for each case: `folder/`, `hub/`, `known.json`, `io.npz`."""
    warnings.simplefilter("ignore")
    import timm
    import torch
    import transformers

    from benchmarks import hugging_face_cases
    from benchmarks.architectures import MODULES

    torch.set_num_threads(1)
    versions = {m.__name__: m.__version__ for m in (timm, transformers, torch)}
    out.mkdir(parents=True, exist_ok=True)
    (out / "versions.json").write_text(json.dumps(versions))
    for module in MODULES:
        for name in timm.list_models(module=module):
            if re.search(only, name):
                _write_timm(out / module / name, name)
    for label, model, forward in hugging_face_cases.cases():
        if re.search(only, label):
            _write_hf(out / "transformers" / label, model(), forward)
    return 0


def _write_timm(out: Path, name: str) -> None:
    import timm
    import torch
    from timm.models import save_for_hf

    with torch.device("meta"):
        whole = timm.create_model(name)
    heads = next(m.num_heads for m in whole.blocks.modules() if hasattr(m, "num_heads"))
    changes = {"depth": 2, "embed_dim": 8 * heads}
    if "sapiens2" in name:  # has a number for each of its blocks
        changes["num_kv_heads"] = heads // 2
    if "mci" in name:  # the stem's width is that of the tokens
        del changes["embed_dim"]
    if whole.num_classes:
        changes["num_classes"] = 7
    try:
        model = timm.create_model(name, **changes).eval()
    except Exception as error:  # written down and counted: a case that cannot be made
        out.mkdir(parents=True, exist_ok=True)
        (out / "unmade.txt").write_text(f"{type(error).__name__}: {error}")
        return
    randomize(model)
    size = model.pretrained_cfg["input_size"][1:]
    _write_io(out, model, torch.randn(2, 3, *size), lambda m, x: m(x))
    save_for_hf(model, out / "folder", model_args=changes, safe_serialization=True)
    (out / "hub").mkdir()
    config = json.loads((out / "folder" / "config.json").read_text())
    config.pop("model_args", None)
    (out / "hub" / "config.json").write_text(json.dumps(config))
    os.link(out / "folder" / "model.safetensors", out / "hub" / "model.safetensors")
    known = {"num_heads": heads, "image_size": list(size)}
    (out / "known.json").write_text(json.dumps(known))


def randomize(model) -> None:
    """Gives every parameter and statistic random numbers that keep the activations near 1."""
    import torch

    torch.manual_seed(0)
    for name, tensor in model.named_parameters():
        scale = 0.3
        if tensor.ndim >= 2 and name.rpartition(".")[2] == "weight":
            scale = tensor[0].numel() ** -0.5
        offset = 1.0 if tensor.ndim == 1 and name.endswith("weight") else 0.0
        tensor.data = torch.randn_like(tensor) * scale + offset
    for name, tensor in model.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            tensor.data = torch.rand_like(tensor) + 0.5


def _write_io(out: Path, model, images, forward) -> None:
    import torch

    out.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        logits = forward(model, images)
    values = {"images": images.numpy(), "logits": logits.numpy()}
    np.savez(out / "io.npz", **values)


def _write_hf(out: Path, model, forward) -> None:
    import torch

    from benchmarks import hugging_face_cases

    model = model.eval()
    randomize(model)
    config = getattr(model.config, "vision_config", model.config)
    side = hugging_face_cases.TINY["image_size"]
    channels = getattr(config, "num_channels", 3)
    _write_io(out, model, torch.randn(2, channels, side, side), forward)
    model.save_pretrained(out / "folder")
    known = {"num_heads": getattr(config, "num_attention_heads", 2), "image_size": [side, side]}
    (out / "known.json").write_text(json.dumps(known))


# With Keras.


def read_cases(cases: Path, only: str) -> list[tuple[str, str, str, str, str]]:
    """(module, name, form, verdict, reason) of every case in every form."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.simplefilter("ignore")
    import keras

    found = []
    for module in sorted(p for p in cases.iterdir() if p.is_dir()):
        for case in sorted(module.iterdir()):
            if not re.search(only, case.name):
                continue
            if (case / "unmade.txt").is_file():
                found.append((module.name, case.name, "folder", "unmade", ""))
                continue
            computed: dict = {}
            for form in FORMS:
                if form in ("folder", "bare") or (case / "hub").is_dir():
                    verdict, reason = judge(case, form, computed)
                    found.append((module.name, case.name, form, verdict, reason))
        keras.utils.clear_session()
    return found


def judge(case: Path, form: str, computed: dict | None = None) -> tuple[str, str]:
    """Whether one form of one case is exact, refused or silent, and why.

    Args:
        case: its folder.
        form: one of `FORMS`.
        computed: verdicts of other forms of the case, by what the model is: the tensors are the
            same, so that the same configuration computes the same.
    """
    from keras_vit import UserError
    from keras_vit.weights import open_source

    path, known = _prepared(case, form)
    try:
        source = open_source(path, **known)
        source.check()
    except UserError as error:
        return "refused", " ".join(str(error).replace(str(case), "").split())
    if not (case / "io.npz").is_file():
        return "silent", "takes no images, but was loaded"
    computed = {} if computed is None else computed
    # How tensors are computed from others is not in the configuration.
    key = source.config if source.tensors is source.checkpoint else form
    if key not in computed:
        computed[key] = _compared(case, path, known)
    return computed[key]


def _prepared(case: Path, form: str) -> tuple[Path, dict]:
    """The path of a form, and what `load_model` is told besides."""
    from keras_vit.weights.adapters.timm_architectures import table

    known: dict = {}
    path = case / form
    if (case / "hub").is_dir():  # what is known of an architecture is known of this small one too
        config = json.loads((case / "hub" / "config.json").read_text())
        table()[case.name]["width"] = config["num_features"]
    if form in ("bare", "named"):
        known = json.loads((case / "known.json").read_text())
        known["image_size"] = tuple(known["image_size"])
        if form == "named":
            known = {"architecture": case.name, "image_size": known["image_size"]}
        bare = case / "bare"
        bare.mkdir(exist_ok=True)
        path = bare / "weights.safetensors"
        if not path.exists():
            os.link(case / "folder" / "model.safetensors", path)
    return path, known


def _compared(case: Path, path: Path, known: dict) -> tuple[str, str]:
    """Loads a case, and compares what it computes with what its library did."""
    from keras_vit import UserError, config_of
    from keras_vit.weights import load_model

    try:
        model = load_model(path, **known)
    except UserError as error:
        return "refused", " ".join(str(error).replace(str(case), "").split())
    with np.load(case / "io.npz") as io:
        images, expected = io["images"].transpose(0, 2, 3, 1), io["logits"]
    config = config_of(model)
    if images.shape[1:3] != config.image_size:
        return "silent", f"made for {images.shape[1:3]}, loaded for {config.image_size}"
    mean, std = np.float32(config.pixel_mean), np.float32(config.pixel_std)
    ours = np.asarray(model((images * std + mean) * 255, training=False))
    if ours.shape != expected.shape:
        return "silent", f"expected {expected.shape}, received {ours.shape}"
    difference = np.abs(ours - expected).max() / max(1.0, np.abs(expected).max())
    return ("exact" if difference <= TOLERANCE else "silent"), f"{difference:.1e}"


def report(rows: list[tuple[str, str, str, str, str]], cases: Path, out: str | None) -> int:
    """Prints the table; 1 where anything is silent."""
    import keras

    versions = json.loads((cases / "versions.json").read_text()) | {"keras": keras.__version__}
    lines = [", ".join(f"{name} {version}" for name, version in versions.items()), ""]
    lines += [
        "Each cell: folder / bare file / bare file, named / hub header.",
        "",
        "| module | names | exact | silent | refused |",
        "|---|---|---|---|---|",
    ]
    modules = sorted({row[0] for row in rows})
    for module in [*modules, "all"]:
        of = [row for row in rows if module in (row[0], "all")]
        counts = collections.Counter((form, verdict) for _, _, form, verdict, _ in of)
        cells = [
            " / ".join(str(counts[form, verdict]) for form in FORMS)
            for verdict in ("exact", "silent", "refused")
        ]
        names = len({row[:2] for row in of})
        lines.append(f"| {module} | {names} | {' | '.join(cells)} |")
    reasons: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    for *_, form, verdict, reason in rows:
        if verdict == "refused":
            reasons[_reason(reason)][form] += 1
    lines += ["", "| refused because | names |", "|---|---|"]
    for why, of in sorted(reasons.items(), key=lambda item: -sum(item[1].values())):
        lines.append(f"| {why} | {' / '.join(str(of[form]) for form in FORMS)} |")
    silent = [row for row in rows if row[3] in ("silent", "unmade")]
    lines += [
        "",
        *(
            f"{verdict.upper()}: {module}/{name} ({form}): {reason}"
            for module, name, form, verdict, reason in silent
        ),
    ]
    text = "\n".join(lines).rstrip() + "\n"
    sys.stdout.write(text)
    if out:
        Path(out).write_text(text, encoding="utf-8")
    return int(any(row[3] == "silent" for row in rows))


def _reason(message: str) -> str:
    """A refusal without the names of files and architectures."""
    for pattern in (
        r"^architecture \S+: (has .*); the model here",
        r"has the tensors of .*, which (has .*): the model here",
        r"(nothing (?:in the file )?tells [^.]*)\.",
        r"(model_type .* has .*); the models",
        r"(It seems to have [^.]*)\.",
        r"(It has .*); the model here does not",
        r"^\S+: (.*)",
    ):
        if match := re.search(pattern, message):
            return match[1][:150].replace("|", "/")
    return message[:150].replace("|", "/")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    raise SystemExit(main())
