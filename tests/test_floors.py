# SPDX-License-Identifier: MIT
"""Imports point down, rooms on one floor are strangers, and TensorFlow stays in its rooms."""

import ast
import functools
import importlib.util
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
# From the ground up. A room is a folder of keras_vit/ or a file in it.
FLOORS = (
    {"errors", "hardware", "interpolation", "lazy", "processes", "quiet", "registered"},
    {"files", "preprocessing", "threads", "untrusted"},
    {"config", "origins", "progress"},
    {"layers", "recipes"},
    {"models"},
    {"analysis", "data", "evaluation", "export", "weights"},
    {"run_folder"},
    {"model_file"},
    {"predictor", "zoo"},
    {"advice", "deploy", "features", "loading", "measuring"},
    {"training"},
    {"reports"},
    {"apps"},
)
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
TENSORFLOW_ROOMS = {"data", "export"}
TENSORFLOW_IN_FUNCTIONS = {
    *("training/distribution.py", "training/adam_kernel.py", "analysis/gradients.py"),
    "layers/fused.py",
    *("layers/fused_attention.py", "layers/rematerialization.py"),
}
STANDARD_LIBRARY_ONLY = {"recipes"}.union(*FLOORS[:3]) - {"interpolation"}
HEAVY = {"keras", "tensorflow", "tensorflow_datasets", "numpy", "jax", "torch", "PIL", "matplotlib"}
NUMPY_FILES = {"untrusted/npy.py"}


@functools.cache
def modules() -> dict[str, Path]:
    """Every module of the house, by its full name, apps under that by which they are installed."""
    found = {}
    for name, folder in (("keras_vit", ROOT / "keras_vit"), ("keras_vit.apps", ROOT / "apps")):
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            if "bundled" not in parts:  # a script that ships with the data that it made
                parts = parts[:-1] if parts[-1] == "__init__" else parts
                found[".".join((name, *parts))] = path
    return found


@functools.cache
def imports(module: str) -> list[tuple[str, bool]]:
    """(full name, whether it is imported at module level) of all that a module imports.

    Function-level, bare and relative imports count; those for type checkers alone do not.
    """
    path, found = modules()[module], []
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]

    def visit(node: ast.AST, top: bool) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            found.extend((alias.name, top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            name = "." * node.level + (node.module or "")
            name = importlib.util.resolve_name(name, package) if node.level else name
            for alias in node.names:
                inner = f"{name}.{alias.name}"
                found.append((inner if inner in modules() else name, top))
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, top and not inside)

    visit(ast.parse(path.read_text(encoding="utf-8")), True)
    return found


def room_of(module: str) -> str:
    """`"weights"` of `keras_vit.weights.load`; "" of the public surface."""
    return module.split(".")[1] if "." in module else ""


def file_of(module: str) -> str:
    """`"weights/load.py"` of `keras_vit.weights.load`."""
    path = modules()[module]
    return path.relative_to(ROOT / "keras_vit" if "apps" not in module else ROOT).as_posix()


def own_imports(module: str) -> Iterator[str]:
    """What a module imports of this house."""
    return (name for name, _ in imports(module) if name in modules() and name != "keras_vit")


def foreign_imports(module: str) -> Iterator[tuple[str, bool]]:
    """The other packages that a module imports, and whether at module level."""
    return ((name.split(".")[0], top) for name, top in imports(module))


def rooms() -> Iterator[str]:
    """Every module but the public surface, which names all floors."""
    return (module for module in modules() if room_of(module))


def test_every_room_has_a_floor():
    assert {room_of(module) for module in rooms()} <= set(FLOOR_OF)


def test_imports_point_down():
    wrong = [
        f"{file_of(module)} imports {name}"
        for module in rooms()
        for name in own_imports(module)
        if room_of(name) != room_of(module) and FLOOR_OF[room_of(name)] >= FLOOR_OF[room_of(module)]
    ]
    assert not wrong


def test_no_file_reaches_itself():
    """No circle of imports in any room, those inside functions included."""
    graph = {module: set(own_imports(module)) - {module} for module in rooms()}
    circles = []

    def walk(module: str, path: tuple[str, ...], done: set[str]) -> None:
        if module in path:
            circles.append(" -> ".join(map(file_of, (*path[path.index(module) :], module))))
        elif module not in done:
            for name in sorted(graph[module]):
                walk(name, (*path, module), done)
            done.add(module)

    done: set[str] = set()
    for module in graph:
        walk(module, (), done)
    assert not circles


def test_tensorflow_stays_in_its_rooms():
    wrong = [
        f"{file_of(module)} imports {name}"
        for module in rooms()
        for name, top in foreign_imports(module)
        if name in ("tensorflow", "tensorflow_datasets")
        and room_of(module) not in TENSORFLOW_ROOMS
        and (top or file_of(module) not in TENSORFLOW_IN_FUNCTIONS)
    ]
    assert not wrong


def test_the_lowest_floors_need_nothing():
    wrong = [
        f"{file_of(module)} imports {name}"
        for module in rooms()
        for name, _ in foreign_imports(module)
        if room_of(module) in STANDARD_LIBRARY_ONLY
        and name in HEAVY
        and not (name == "numpy" and file_of(module) in NUMPY_FILES)
    ]
    assert not wrong


def test_commands_import_nothing_heavy_before_their_flags_are_parsed():
    wrong = [
        f"{file_of(module)} imports {name}"
        for module in rooms()
        for name, top in foreign_imports(module)
        if room_of(module) == "apps" and top and name in HEAVY
    ]
    assert not wrong


def test_one_place_starts_processes_and_one_opens_keras_files():
    """Elsewhere, what lies in the current folder would be imported, or a file not be checked."""
    allowed = {"processes.py", "models/keras_file.py"}
    wrong = [
        f"{file_of(module)}: {words}"
        for module in rooms()
        for words in ("sys.executable,", "saving.load_model(", "models.load_model(")
        if words in modules()[module].read_text(encoding="utf-8") and file_of(module) not in allowed
    ]
    assert not wrong
