# SPDX-License-Identifier: MIT
"""`convert`, `inspect` and `parity`, called in this process; `inspect` also in one of its own."""

import argparse
import dataclasses
import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest

from apps import convert, inspect_weights, parity
from keras_vit import UserError, config_of
from keras_vit.origins import Origin, to_text
from keras_vit.weights import load_model
from keras_vit.weights.formats import open_checkpoint, write_safetensors
from tests.weights.fixtures import FOLDER


def run(app, *arguments) -> int:
    parser = argparse.ArgumentParser()
    app.add_flags(parser)
    return app.main(parser.parse_args([str(argument) for argument in arguments]))


def test_inspect_prints_a_table(capsys):
    assert run(inspect_weights, FOLDER / "hf_deit_teacher") == 0
    text = capsys.readouterr().out
    for said in ("dialect     hf", "distillation_token", "x2 ", "epsilon of the norms: 1e-12"):
        assert said in text


def test_inspect_prints_json(capsys):
    assert run(inspect_weights, FOLDER / "timm_token.safetensors", "--num_heads", 2, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["dialect"], found["config"]["num_heads"]) == ("timm", 2)
    blocks = [g for g in found["groups"] if g["name"] == "blocks.*.attn.qkv.weight"]
    assert blocks[0]["count"] == 2


def test_inspect_says_what_must_be_given(capsys):
    assert run(inspect_weights, FOLDER / "timm_token.safetensors") == 1
    assert "or give num_heads=" in capsys.readouterr().out


def test_inspect_tells_the_licence(tmp_path, capsys):
    tensors = open_checkpoint(FOLDER / "timm_token.safetensors")
    origin = Origin("mae", "CC-BY-NC-4.0", "https://example.org/terms", "no commercial use")
    path = tmp_path / "x.safetensors"
    made = [(name, array.shape, lambda array=array: array) for name, array in tensors.items()]
    write_safetensors(path, made, {"keras_vit_origins": to_text([origin])})
    assert run(inspect_weights, path, "--num_heads", 2) == 0
    assert f"made of     {origin}\n" in capsys.readouterr().out
    assert run(inspect_weights, path, "--num_heads", 2, "--json") == 0
    assert json.loads(capsys.readouterr().out)["origins"] == [dataclasses.asdict(origin)]
    write_safetensors(path, made, {"keras_vit_origins": "MIT"})
    with pytest.raises(UserError, match=r"x\.safetensors: 'keras_vit_origins' in its header"):
        run(inspect_weights, path, "--num_heads", 2)


def test_inspect_needs_neither_keras_nor_memory(tmp_path):
    """A ViT of 3 GB whose numbers are a hole in the file: the answer comes from the header."""
    from keras_vit import ViTConfig
    from keras_vit.weights.registry import writer_of

    config = ViTConfig.of("H/14", image_size=336, depth=41)
    tensors = [(b.theirs, b.shape) for b in writer_of("timm").bind("timm", config)]
    header, offset = {}, 0
    for name, shape in tensors:
        size = 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    assert offset > 3e9
    text = json.dumps(header).encode()
    path = tmp_path / "x.safetensors"
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + offset)
    code = (
        "import re, sys; from apps import inspect_weights as app; import argparse; "
        "p = argparse.ArgumentParser(); app.add_flags(p); "
        f"app.main(p.parse_args([{str(path)!r}, '--num_heads', '16'])); "
        "print({'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules)); "
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    *_, modules, kilobytes = result.stdout.splitlines()
    assert modules == "set()"
    assert int(kilobytes) < 150_000


def test_convert_there_and_back(tmp_path, capsys):
    source = FOLDER / "vit_jax_token.npz"
    assert run(convert, source, tmp_path / "hf", "--to", "hf") == 0
    arguments = ("--to", "flax", "--accept", "activation")
    assert run(convert, tmp_path / "hf", tmp_path / "x.npz", *arguments) == 0
    with np.load(source) as before, np.load(tmp_path / "x.npz") as after:
        assert set(before) == set(after)
        assert all(np.array_equal(before[name], after[name]) for name in before)
    arguments = ("--to", "keras", "--num_classes", 3, "--image_size", 64, 48)
    assert run(convert, source, tmp_path / "x.keras", *arguments) == 0
    config = config_of(load_model(tmp_path / "x.keras"))
    assert (config.num_classes, config.image_size) == (3, (64, 48))
    assert capsys.readouterr().out == ""  # stdout carries data only


def test_parity_against_stored_outputs(tmp_path, capsys):
    path, io = FOLDER / "hf_vit", FOLDER / "hf_vit" / "io.npz"
    assert run(parity, path, "--stored", io, "--json", tmp_path / "x.json") == 0
    assert "passed" in capsys.readouterr().out
    found = json.loads((tmp_path / "x.json").read_text())
    assert found["passed"]
    assert [row["layer"] for row in found["rows"]] == ["logits"]
    with np.load(io) as values:
        wrong = tmp_path / "wrong.npz"
        np.savez(wrong, images=values["images"], logits=values["logits"] + 1)
    assert run(parity, path, "--stored", wrong) == 1
    assert "OUT OF TOLERANCE" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "reference"),
    [("timm_qk_norm.safetensors", "timm"), ("hf_deit", "hf"), ("bv_map_learn.npz", "flax")],
)
def test_parity_against_a_library(tmp_path, capsys, name, reference):
    if importlib.util.find_spec("transformers" if reference == "hf" else reference) is None:
        pytest.skip(f"{reference} is not installed")
    record = tmp_path / "record.npz"
    path = FOLDER / name
    assert run(parity, path, "--reference", reference, "--record", record) == 0
    assert "block_01" in capsys.readouterr().out
    assert run(parity, path, "--stored", record) == 0
    assert "block_01" in capsys.readouterr().out


def test_a_file_of_nothing_known(tmp_path):
    from keras_vit import UserError

    write_safetensors(tmp_path / "x.safetensors", [("a", (1,), lambda: np.ones(1))], {})
    with pytest.raises(UserError, match="not a Vision Transformer"):
        run(inspect_weights, tmp_path / "x.safetensors")
