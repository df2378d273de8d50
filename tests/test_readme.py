# SPDX-License-Identifier: MIT
"""What a reader may paste is run as it stands there: README.md, report.md, docstrings.

Each block of Python has a process of its own, as one who pastes it has.
"""

import ast
import inspect
import re

import pytest

from tests.pages import INSTALL, ROOT, Block, blocks_of, run, shell

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = [(block.kind, block.text) for block in blocks_of(README)]


def test_ci_runs_the_install_lines_as_they_stand():
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    lines = [line for kind, text in BLOCKS for line in text.splitlines() if INSTALL in line]
    assert len(lines) == 2
    for line in lines:
        start = line.partition("&&")[0] + "&& "
        assert f'readme_line "{start}"' in ci


def test_no_other_kind_of_block_hides_a_command():
    for kind, text in BLOCKS:
        assert kind in ("sh", "python", "text")
        if kind == "text":
            assert "keras-vit" not in text


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory, photos):
    """A folder with what a reader has: a finished run, photographs, a published checkpoint."""
    from PIL import Image

    import keras_vit

    folder = tmp_path_factory.mktemp("newcomer")
    for name, source in {"cat": "dark", "dog": "light"}.items():  # what the page shows
        (folder / "photos" / name).mkdir(parents=True)
        for number, file in enumerate(sorted((photos / source).iterdir()), 1):
            Image.open(file).save(folder / "photos" / name / f"{number}.jpg", quality=95)
    config = keras_vit.ViTConfig.of("Ti/16", num_classes=1000, activation="gelu_tanh")
    keras_vit.weights.save(keras_vit.vit(config), folder / "Ti_16.npz", dialect="flax")
    shell("keras-vit train --debug --workdir runs/digits-1", folder)
    return folder


def python(text, folder):
    """Runs a block of Python in a new interpreter."""
    run(Block("python", text, "", False, (0, 0)), folder)


def docstring_blocks():
    """The blocks of every docstring that are Python: (place, text)."""
    for path in [*(ROOT / "keras_vit").rglob("*.py"), *(ROOT / "apps").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                for text in python_in(ast.get_docstring(node) or ""):
                    yield f"{path.relative_to(ROOT)}: {getattr(node, 'name', '')}", text


def python_in(docstring):
    """Indented paragraphs that parse, and that import, assign or call something."""
    blocks = re.findall(r"(?:^ {4,}.*\n|^\n)+", f"{docstring}\n", flags=re.MULTILINE)
    for block in map(inspect.cleandoc, blocks):
        try:
            statements = ast.parse(block).body
        except SyntaxError:
            continue
        if any(
            isinstance(statement, ast.Import | ast.ImportFrom | ast.Assign)
            or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call))
            for statement in statements
        ):
            yield block


def test_docstring_blocks_are_found_and_complete():
    found = dict(docstring_blocks())
    assert "keras_vit/loading.py: load_model" in found
    for place, text in found.items():
        assert re.search(r"^(import|from) keras_vit", text, re.MULTILINE), (
            f"{place}: what is pasted begins with its imports"
        )
        assert ">>>" not in text
    assert list(python_in("Does.\n\n    x = f(1)\n\nArgs:\n    x: a number.\n")) == ["x = f(1)"]


@pytest.mark.slow
def test_blocks(newcomer):
    """In the order of the page, in one folder, as a reader would go through it."""
    ran = 0
    for kind, text in BLOCKS:
        if kind == "python":
            python(text, newcomer)
            ran += 1
        elif kind == "sh" and INSTALL not in text:
            shell(text, newcomer)
            ran += 1
    assert ran >= 7
    pictures = list((newcomer / "pictures").glob("*.png"))
    assert pictures
    for place, text in docstring_blocks():  # they speak of the folders that the page has made
        print(place)
        python(text, newcomer)
    for page in newcomer.glob("runs/*/report.md"):
        assert "```" not in page.read_text("utf-8"), "a block of a report.md is to be run here"
