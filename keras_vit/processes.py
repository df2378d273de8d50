# SPDX-License-Identifier: MIT
"""How this package starts Python again: without the folder that it happens to be in.

`python -m` looks for modules in the current folder before it looks anywhere else, so that a
`numpy.py` among somebody's images would be run. A process started here sees the standard library,
the installed packages, and at last what its parent could import from elsewhere.
"""

import os
import sys
from pathlib import Path

_CODE = """
import runpy, sys
sys.path += {path}
runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
"""


def python_command(module: str, *arguments: str | os.PathLike[str]) -> list[str]:
    """The command that runs a module as `python -m` does, isolated.

    No `PYTHON...` variable, user's start-up file or current folder has a say (`python -I`).

    Args:
        module: its full name.
        *arguments: its command line.

    Returns:
        What `subprocess` takes.
    """
    code = _CODE.format(path=ascii(_import_path()), module=module)
    return [sys.executable, "-I", "-c", code, *(os.fspath(argument) for argument in arguments)]


def drop_current_folder() -> None:
    """Takes the current folder from where `python -m` had put it, the front of `sys.path`.

    What Python itself imports before its first line of ours runs, `-m` has looked for there: only
    `python -P -m` or the command `keras-vit` never look.
    """
    if sys.path and _is_here(sys.path[0]):
        del sys.path[0]
    sys.path.append(_root())  # where this package itself is in the current folder


def _import_path() -> list[str]:
    """Where this process imports from, least trusted last; no relative folder, not the current one
    and not that of the script that runs."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    beside = Path(script).absolute().parent if script else None
    kept = [
        entry
        for entry in sys.path
        if Path(entry).is_absolute() and Path(entry) != beside and not _is_here(entry)
    ]
    return [*dict.fromkeys([*kept, _root()])]


def _root() -> str:
    """The folder that holds this package, also where it is not installed."""
    return str(Path(__file__).absolute().parent.parent)


def _is_here(entry: str) -> bool:
    try:
        return Path(entry).samefile(".")
    except OSError:  # a zip file, or a folder that is gone
        return False
