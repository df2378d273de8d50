# SPDX-License-Identifier: MIT
"""The name that pip knows this package by is the same wherever a user is told to type it."""

import ast
import re
from pathlib import Path

from keras_vit.errors import DISTRIBUTION, not_installed

ROOT = Path(__file__).parent.parent
TEXTS = [
    *(ROOT / "keras_vit").rglob("*.py"),
    *(ROOT / "apps").rglob("*.py"),
    *ROOT.glob("*.md"),
    *(ROOT / "benchmarks").rglob("*.md"),
]


def setup_arguments():
    (call,) = [
        node
        for node in ast.walk(ast.parse((ROOT / "setup.py").read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "setup"
    ]
    return {keyword.arg: keyword.value for keyword in call.keywords}


def test_every_line_to_type_names_this_distribution_and_an_extra_that_it_has():
    arguments = setup_arguments()
    assert ast.literal_eval(arguments["name"]) == DISTRIBUTION
    extras = {key.value for key in arguments["extras_require"].keys}
    for path in TEXTS:
        text = path.read_text("utf-8")
        assert not re.search(r"pip install '?keras-vit\b(?!-toolkit)", text), path
        wanted = re.findall(rf"{DISTRIBUTION}\[(\w+)\]|not_installed\([^)]*, \"(\w+)\"\)", text)
        assert {first or second for first, second in wanted} <= extras, path


def test_a_missing_package_is_named_with_the_line_to_type():
    assert str(not_installed("ONNX files", "onnx", "onnx")) == (
        f"ONNX files: needs the package onnx. Type `pip install '{DISTRIBUTION}[onnx]'`."
    )
    assert str(not_installed("keras", "tensorflow")).endswith(f"`pip install {DISTRIBUTION}`.")
