# SPDX-License-Identifier: MIT
"""How the code is cut: files, functions, and how many of them a reader of one command meets.

    python benchmarks/structure.py                     of the working tree
    python benchmarks/structure.py --at COMMIT         of a commit
    python benchmarks/structure.py --before COMMIT     both, side by side
    python benchmarks/structure.py --tests             with the default tests, which take minutes

Prints Markdown. Standard library and git alone; the commands that are followed need the package's
own dependencies.

A *file passed* is one of ours in which a function ran, in the process of the command: what is only
imported does not count, nor what a worker process runs. The *length* of a function is the number
of its lines after the docstring, `def` included; a function inside another counts in both. Times
are seconds of one core, the smallest of `--repeat` runs; two trees take turns.
"""

import argparse
import ast
import contextlib
import dataclasses
import inspect
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from inspect import CO_OPTIMIZED
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHECKPOINT = "tests/fixtures/parity/timm_token.safetensors"
STARTS = {
    "`keras-vit --help`": "from keras_vit.apps import cli; cli._overview()",
    "`keras-vit train --help`": "from keras_vit.apps import cli; cli.make_parser('train')",
    "`import keras_vit`": "",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--at", metavar="COMMIT", help="default: the working tree")
    parser.add_argument("--before", metavar="COMMIT", help="what the other is compared with")
    parser.add_argument("--tests", action="store_true", help="run the default tests too")
    parser.add_argument("--repeat", type=int, default=5, help="of each start; default: 5")
    parser.add_argument("--follow", nargs=2, metavar=("TREE", "COMMAND"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.follow:
        print(json.dumps(dataclasses.asdict(FOLLOWED[args.follow[1]](Path(args.follow[0])))))
        return
    with contextlib.ExitStack() as stack:
        commits = [args.before, args.at] if args.before else [args.at]
        trees = {commit or "working tree": stack.enter_context(tree(commit)) for commit in commits}
        print(page(trees, args.repeat, args.tests))


@contextlib.contextmanager
def tree(commit: str | None) -> Iterator[Path]:
    """The folder of a commit's files, or of the working tree."""
    if commit is None:
        yield ROOT
        return
    git = ["git", "-C", str(ROOT), "archive", commit]
    packed = subprocess.run(git, capture_output=True, check=True).stdout
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(folder, filter="data")
        (Path(folder) / "keras_vit" / "apps").symlink_to("../apps")  # as it is installed
        yield Path(folder).resolve()


# -- What stands in the files --------------------------------------------------------------------


def modules(root: Path) -> dict[str, Path]:
    """Every module by its path inside the package, e.g. `"weights/load.py"`."""
    found = {}
    for folder, prefix in ((root / "keras_vit", ""), (root / "apps", "apps/")):
        for path in sorted(folder.rglob("*.py")):
            name = prefix + path.relative_to(folder).as_posix()
            if "bundled/" not in name:  # a script that ships with the data that it made
                found[name] = path
    return found


def room_of(module: str) -> str:
    """`"weights/"` of `"weights/load.py"`; a file at the top is a room of its own."""
    room, slash, _ = module.partition("/")
    return room + slash


def line_counts(root: Path) -> dict[str, int]:
    """Lines of every module that has any."""
    counts = {
        name: len(path.read_text("utf-8").splitlines()) for name, path in modules(root).items()
    }
    return {name: lines for name, lines in counts.items() if lines}


def function_lengths(root: Path) -> dict[str, int]:
    """Lines of every function, by `"module: name"`."""
    lengths = {}
    for module, path in modules(root).items():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                docstring = node.body[0].end_lineno - node.body[0].lineno + 1
                skipped = docstring if len(body) < len(node.body) else 0
                lengths[f"{module}: {node.name}"] = node.end_lineno - node.lineno + 1 - skipped
    return lengths


# -- What a command runs -------------------------------------------------------------------------


@dataclasses.dataclass
class Followed:
    """What ran of a tree.

    Attributes:
        functions: those that ran, each as (file, name).
        chain: functions of ours from the command's `main` to where it was stopped.
    """

    functions: list[tuple[str, str]]
    chain: list[str]


class Reached(BaseException):
    """The place that was asked for; no handler of a command catches it."""


class Follower:
    """Notes every function of a tree that runs."""

    def __init__(self, root: Path):
        self.names = {str(path): name for name, path in modules(root).items()}
        # The commands under the name, too, by which they are imported where that is a link.
        apps = {name: f"{root}/keras_vit/{name}" for name in modules(root)}
        self.names |= {path: name for name, path in apps.items() if name.startswith("apps/")}
        self.functions: set[tuple[str, str]] = set()
        self.chain: list[str] = []

    def __enter__(self):
        threading.setprofile(self._note)
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_):
        sys.setprofile(None)
        threading.setprofile(None)

    def _note(self, frame, event, argument) -> None:
        code = frame.f_code
        # Neither modules nor bodies of classes, which an import runs.
        if event == "call" and code.co_filename in self.names and code.co_flags & CO_OPTIMIZED:
            self.functions.add((self.names[code.co_filename], code.co_qualname))

    def stop(self, *_, **__) -> None:
        """Notes the functions of ours that have led here, and leaves them all."""
        codes = [info.frame.f_code for info in reversed(inspect.stack(0))]
        ours = [code for code in codes if code.co_filename in self.names]
        self.chain = [f"{self.names[code.co_filename]}: {code.co_qualname}" for code in ours]
        raise Reached

    def result(self) -> Followed:
        return Followed(sorted(self.functions), self.chain)


def command(*arguments: str | Path) -> None:
    """Runs a command as the tests do, in this process; what it prints goes nowhere."""
    from keras_vit.apps import cli

    args = cli.make_parser(str(arguments[0])).parse_args([str(word) for word in arguments[1:]])
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        args.command_main(args)


def follow_load_model(root: Path) -> Followed:
    """A checkpoint of timm becomes a model."""
    keras_vit = package(root)
    load_model = keras_vit.load_model
    with Follower(root) as follower:
        load_model(root / CHECKPOINT, num_heads=2)
    return follower.result()


def follow_train(root: Path) -> Followed:
    """The bundled digits, up to the first `model.fit`."""
    package(root)
    import keras

    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Reached):
        follower = Follower(root)
        keras.Model.fit = follower.stop
        with follower:
            command("train", "--debug", "--workdir", Path(folder) / "run")
    return follower.result()


def follow_export(root: Path) -> Followed:
    """A `.keras` file that belongs to no run becomes a checked `.tflite`."""
    keras_vit = package(root)
    with tempfile.TemporaryDirectory() as folder:
        lone = Path(folder) / "lone.keras"
        keras_vit.create("mu/16", image_size=32, num_classes=3).save(lone)
        with Follower(root) as follower:
            command("export", lone, "--format", "litert", "--out", Path(folder) / "out")
    return follower.result()


FOLLOWED = {
    "`load_model` of a timm checkpoint": follow_load_model,
    "`keras-vit train`, up to `model.fit`": follow_train,
    "`keras-vit export` of a lone model": follow_export,
}


def package(root: Path):
    """keras_vit of this tree, and no other that is installed."""
    import keras_vit

    if Path(keras_vit.__file__).parent != root / "keras_vit":
        raise RuntimeError(f"expected keras_vit of {root}, received {keras_vit.__file__}")
    keras_vit.__path__.append(str(root))  # where apps/ is, which is installed as keras_vit.apps
    return keras_vit


def python(root: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Runs Python where keras_vit is that of a tree."""
    environment = {**os.environ, "PYTHONPATH": str(root), "TF_CPP_MIN_LOG_LEVEL": "3"}
    line = [sys.executable, "-P", *arguments]  # not with what lies in the current folder
    return subprocess.run(line, env=environment, capture_output=True, text=True, check=True)


def followed(root: Path, name: str) -> Followed:
    """Follows a command in a process of its own."""
    return Followed(**json.loads(python(root, __file__, "--follow", str(root), name).stdout))


# -- Seconds -------------------------------------------------------------------------------------


def core_seconds(root: Path, code: str) -> float:
    """Seconds of one core that a new Python takes for some code."""
    path = f"import keras_vit; keras_vit.__path__.append({str(root)!r}); "  # where apps/ is
    before = os.times()
    python(root, "-c", path + code)
    after = os.times()
    return sum(after[2:4]) - sum(before[2:4])


def tests(root: Path) -> str:
    """The default tests: how many, seconds by the clock and of all cores."""
    before, line = os.times(), [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(line, cwd=root, env=environment, capture_output=True, text=True)
    after = os.times()
    said = done.stdout.splitlines()[-1].strip("= ")
    return f"{said}; {sum(after[2:4]) - sum(before[2:4]):.0f} s of a core"


# -- The page ------------------------------------------------------------------------------------


def page(trees: dict[str, Path], repeat: int, with_tests: bool) -> str:
    roots = list(trees.values())
    rows = [*code_rows(roots), *follow_rows(roots), *start_rows(roots, repeat)]
    if with_tests:
        rows.append(["default tests", *map(tests, roots)])
    return "\n\n".join(
        [
            table(["", *trees], rows),
            "Files and lines of each room:",
            table(["room", *trees], room_rows(roots)),
            *(longest(name, root) for name, root in trees.items()),
            *(chain(name, root) for name, root in trees.items()),
        ]
    )


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code_rows(roots: list[Path]) -> list[list[str]]:
    counts = [list(line_counts(root).values()) for root in roots]
    lengths = [sorted(function_lengths(root).values()) for root in roots]
    short = [[lines for lines in each if lines < 100] for each in counts]
    return [
        ["files", *(str(len(each)) for each in counts)],
        ["lines", *(f"{sum(each):,}" for each in counts)],
        [
            "files below 100 lines",
            *(f"{len(s)} ({len(s) / len(e):.0%})" for s, e in zip(short, counts, strict=True)),
        ],
        ["lines of a file, median", *(f"{statistics.median(each):.0f}" for each in counts)],
        ["functions", *(f"{len(each):,}" for each in lengths)],
        ["lines of a function, median", *(f"{statistics.median(each):.0f}" for each in lengths)],
        ["90 % of functions have at most", *(str(each[len(each) * 9 // 10]) for each in lengths)],
    ]


def follow_rows(roots: list[Path]) -> list[list[str]]:
    rows = []
    for name in FOLLOWED:
        found = [followed(root, name) for root in roots]
        rows.append([f"passed by {name}", *map(passed, found)])
        if found[0].chain:
            rows.append(
                ["functions from `main` to `model.fit`", *(str(len(e.chain)) for e in found)]
            )
    return rows


def passed(found: Followed) -> str:
    files = {file for file, _ in found.functions}
    rooms = {room_of(file) for file in files}
    return f"{len(files)} files in {len(rooms)} rooms, {len(found.functions)} functions"


def start_rows(roots: list[Path], repeat: int) -> list[list[str]]:
    rows = []
    for name, code in STARTS.items():
        runs = [[core_seconds(root, code) for root in roots] for _ in range(repeat)]
        smallest = [min(times) for times in zip(*runs, strict=True)]
        rows.append([f"{name}, seconds of a core", *(f"{seconds:.2f}" for seconds in smallest)])
    return rows


def room_rows(roots: list[Path]) -> list[list[str]]:
    files, lines = [], []
    for root in roots:
        counts = line_counts(root)
        files.append(Counter(room_of(name) for name in counts))
        lines.append(Counter())
        for name, count in counts.items():
            lines[-1][room_of(name)] += count
    rooms = sorted(set().union(*files), key=lambda room: (not room.endswith("/"), room))
    both = list(zip(files, lines, strict=True))
    return [
        [room, *(f"{f[room]}, {n[room]:,}" if f[room] else "" for f, n in both)] for room in rooms
    ]


def longest(name: str, root: Path, count: int = 10) -> str:
    found = sorted(function_lengths(root).items(), key=lambda item: -item[1])[:count]
    said = ", ".join(f"{lines} `{function}`" for function, lines in found)
    return f"Longest functions, {name}: {said}."


def chain(name: str, root: Path) -> str:
    steps = followed(root, "`keras-vit train`, up to `model.fit`").chain
    return f"From `main` to `model.fit`, {name}: {' -> '.join(f'`{step}`' for step in steps)}."


if __name__ == "__main__":
    main()
