# SPDX-License-Identifier: MIT
"""Imports point down, rooms on one floor are strangers, and TensorFlow stays in its rooms."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
FLOORS = {
    "errors": 0,
    "files": 0,
    "hardware": 0,
    "interpolation": 0,
    "lazy": 0,
    "quiet": 0,
    "registered": 0,
    "processes": 0,
    "progress": 0,
    "limits": 0,
    "text": 0,
    "web": 0,
    "schema": 0.4,  # above the errors that it raises
    "fields": 0.45,  # above the schema that it asks
    "config": 0.5,
    "untrusted": 0.5,  # above the schema that it checks
    "zips": 0.6,
    "npy": 0.7,  # NumPy
    "layers": 1,
    "recipes": 1,
    "models": 2,
    "weights": 3,
    "data": 3,
    "analysis": 3,
    "export": 3,
    "evaluation": 3,
    "zoo": 4,
    "predictor": 4,
    "loading": 4.5,  # above the two that it chooses from
    "measuring": 4.5,  # above the predictor that it measures
    "training": 5,
    "benchmark": 5.5,  # above the exports that it times
    "reports": 6,
    "apps": 7,
}
WITHIN_FLOOR_0 = {("files", "errors"), ("progress", "text")}
TENSORFLOW_ROOMS = {"data", "export"}
TENSORFLOW_IN_FUNCTIONS = {"training/distribution.py"}
STANDARD_LIBRARY_ONLY = {"errors", "files", "hardware", "lazy", "progress", "config", "recipes"}
STANDARD_LIBRARY_ONLY |= {"quiet", "registered", "web"}
STANDARD_LIBRARY_ONLY |= {"fields", "limits", "schema", "text", "untrusted", "zips", "processes"}
HEAVY = {"keras", "tensorflow", "numpy", "jax", "torch", "PIL", "matplotlib", "absl"}


def modules():
    for room, folder in (("", ROOT / "keras_vit"), ("apps", ROOT / "apps")):
        for path in sorted(folder.rglob("*.py")):
            relative = path.relative_to(folder)
            if (
                path.name == "__init__.py"
                and folder.name == "keras_vit"
                and len(relative.parts) == 1
            ):
                continue  # the public surface names every floor
            if "bundled" not in relative.parts:  # a script that ships with the data that it made
                yield room or relative.parts[0].removesuffix(".py"), relative.as_posix(), path


def imports(path):
    """(module, whether at module level and not for type checkers) of each import."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = set()
    for node in tree.body:
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if not typing_only and not isinstance(node, ast.FunctionDef | ast.ClassDef):
            top |= set(ast.walk(node))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = [node.module]
            if node.module == "keras_vit":
                names = [f"keras_vit.{alias.name}" for alias in node.names]
            yield from ((name, node in top) for name in names)


def test_every_module_has_a_floor():
    assert {room for room, _, _ in modules()} <= set(FLOORS)


def test_imports_point_down():
    wrong = []
    for room, name, path in modules():
        for module, _ in imports(path):
            if not module.startswith("keras_vit.") or module.split(".")[1] not in FLOORS:
                continue
            other = module.split(".")[1]
            upwards = other != room and FLOORS[other] >= FLOORS[room]
            if upwards and (room, other) not in WITHIN_FLOOR_0:
                wrong.append(f"{name} imports {module}")
    assert not wrong


def test_tensorflow_stays_in_its_rooms():
    wrong = []
    for room, name, path in modules():
        for module, at_top in imports(path):
            if module.split(".")[0] in ("tensorflow", "tensorflow_datasets"):
                in_function = name in TENSORFLOW_IN_FUNCTIONS and not at_top
                if room not in TENSORFLOW_ROOMS and not in_function:
                    wrong.append(f"{name} imports {module}")
    assert not wrong


def test_the_lowest_floors_need_nothing():
    wrong = [
        f"{name} imports {module}"
        for room, name, path in modules()
        for module, _ in imports(path)
        if room in STANDARD_LIBRARY_ONLY and module.split(".")[0] in HEAVY
    ]
    assert not wrong


def test_commands_import_nothing_heavy_before_their_flags_are_parsed():
    wrong = [
        f"{name} imports {module}"
        for room, name, path in modules()
        for module, at_top in imports(path)
        if room == "apps" and at_top and module.split(".")[0] in HEAVY - {"absl"}
    ]
    assert not wrong


def test_one_place_starts_processes_and_one_opens_keras_files():
    """Elsewhere, what lies in the current folder would be imported, or a file not be checked."""
    wrong, allowed = [], {"processes.py", "models/keras_file.py"}
    for _, name, path in modules():
        text = path.read_text(encoding="utf-8")
        for words in ("sys.executable,", "saving.load_model(", "models.load_model("):
            if words in text and name not in allowed:
                wrong.append(f"{name}: {words}")
    assert not wrong
