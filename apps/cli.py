# SPDX-License-Identifier: MIT
"""`keras-vit COMMAND ...`: finds the command, parses its flags, and turns errors into one line.

Nothing here imports Keras or TensorFlow: help and usage errors answer in a fraction of a second.
"""

import argparse
import importlib
import inspect
import os
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from absl import app, flags, logging
from absl.flags import argparse_flags

from keras_vit import hardware
from keras_vit.errors import UserError, unknown
from keras_vit.progress import step
from keras_vit.untrusted.text import ESCAPING, visible_lines

COMMANDS = (
    "audit",
    "train",
    "evaluate",
    "predict",
    "embed",
    "export",
    "visualize",
    "convert",
    "inspect",
    "parity",
    "benchmark",
    "list",
    "doctor",
)
# Modules that cannot bear the command's name: apps/inspect.py would hide the standard library's
# `inspect` from every script in apps/.
_MODULES = {"inspect": "inspect_weights"}


def main() -> None:
    """Entry point of the console command."""
    _run(sys.argv)


def run_script(command: str) -> None:
    """Entry point of `python apps/COMMAND.py`."""
    _run([sys.argv[0], command, *sys.argv[1:]])


def make_parser(command: str) -> argparse.ArgumentParser:
    """Makes the parser of a command from its module: docstring and flags."""
    module = _module(command)
    sentence, _, rest = (inspect.getdoc(module) or "").partition("\n")
    parser = _Parser(
        prog=f"keras-vit {command}",
        description=sentence,
        epilog=rest.strip("\n"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.add_flags(parser)
    parser.set_defaults(command_main=module.main)
    return parser


def _module(command: str) -> ModuleType:
    return importlib.import_module(f"keras_vit.apps.{_MODULES.get(command, command)}")


class _Parser(argparse_flags.ArgumentParser):
    """Offers the nearest flag when one is unknown."""

    def error(self, message):
        match = re.match(r"unrecognized arguments: (--[\w-]+)", message)
        if match:
            options = [o for o in self._option_string_actions if o.startswith("--")]
            fields = _recipe_fields(match[1]) if "--set" in options else ()
            if fields:
                settings = " or ".join(f"`--set {field}=VALUE`" for field in fields)
                message = f"{match[1]} is no flag but a field of the recipe: {settings}."
            else:
                message = str(unknown("flag", match[1], options, f"`{self.prog} --help`"))
        _fail(self.prog, message)

    def _print_message(self, message, file=None):
        (file or sys.stderr).write(message)  # argparse ignores a disk that is full


def _recipe_fields(flag: str) -> list[str]:
    """The fields of a recipe that somebody may mean by a flag, such as `--learning_rate`."""
    from keras_vit.recipes import field_names, get

    name = flag.removeprefix("--")
    return [field for field in field_names(get("digits")) if field.split(".")[-1] == name]


def add_threads_flag(parser: argparse.ArgumentParser) -> None:
    """Adds `--threads`, which `use_threads` takes."""
    parser.add_argument(
        "--threads", type=int, help="cores to use; default: all that this process may"
    )


def use_threads(args: argparse.Namespace) -> None:
    """Bounds the threads of this command; before Keras is imported."""
    if args.threads is not None and args.threads < 1:
        raise UserError(f"--threads: expected at least 1, received {args.threads}.")
    hardware.use_threads(args.threads)


def import_keras() -> None:
    """Imports Keras and its backend without the device log that TensorFlow writes meanwhile.

    The log comes from C++ before any log level is read, so standard error itself is set aside; it
    is shown if the import fails.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as log, os.fdopen(os.dup(2), "w") as terminal:
        os.dup2(log.fileno(), 2)
        try:
            with step("starting Keras", stream=terminal):
                importlib.import_module("keras")
        except Exception:  # not Ctrl-C, which says nothing of the import
            log.seek(0)
            os.write(kept, log.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _run(argv: Sequence[str]) -> None:
    """Runs the command line; what goes wrong with a file or with standard output is one line."""
    _open_streams()
    try:
        try:
            _dispatch(argv)
        finally:
            sys.stdout.flush()  # here an error can still be told
    except BrokenPipeError:  # `keras-vit ... | head`
        _drop_output()
        sys.exit(141)
    except OSError as error:
        _drop_output()
        _fail("keras-vit", _words(error))
    except MemoryError:
        _fail("keras-vit", "this needs more memory than there is.")


def _open_streams() -> None:
    """Makes sure that the numbers of the three standard streams are taken: the next file to be
    opened would get one of them, and with it what libraries print."""
    closed = [number for number in range(3) if not _is_open(number)]
    for _ in closed:
        os.open(os.devnull, os.O_RDWR)
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 (stays open)
    if sys.stdin is None:
        sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115
    if sys.stdout is None:
        _fail("keras-vit", "standard output is closed. To see no results, send it to /dev/null.")


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _drop_output() -> None:
    """Sends what is left of standard output nowhere: Python writes it out once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _words(error: OSError) -> str:
    """What the system says of a file, in one line."""
    said = error.strerror or next(iter(str(error).splitlines()), type(error).__name__)
    where = "standard output, or a file that was being written"  # the system does not say
    return f"{where if error.filename is None else error.filename}: {said}."


def _dispatch(argv: Sequence[str]) -> None:
    # A file name may be bytes that are no text: they come out as they are.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors=ESCAPING)
    arguments = list(argv[1:])
    command = arguments[0] if arguments else "--help"
    if command in ("-h", "--help", "help"):
        print(_overview())
        return
    if command == "--version":
        from keras_vit import __version__

        print(f"keras_vit {__version__}")
        return
    if command not in COMMANDS:
        _fail("keras-vit", str(unknown("command", command, COMMANDS, "`keras-vit --help`")))
    app.run(
        lambda args: _guarded(f"keras-vit {command}", args.command_main, args),
        argv=[argv[0], *arguments[1:]],
        flags_parser=lambda rest: make_parser(command).parse_args(underscored(rest[1:])),
    )


def _guarded(prog: str, main: Callable, args: argparse.Namespace) -> int:
    """Runs a command; errors that are the user's to mend become one line and exit code 2."""
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)  # absl's own default narrates each export
    try:
        return main(args)
    except UserError as error:
        _fail(prog, str(error))
    except KeyboardInterrupt:
        print(f"{prog}: interrupted", file=sys.stderr)
        return 130


def _fail(prog: str, message: str) -> NoReturn:
    print(visible_lines(f"{prog}: error: {message}"), file=sys.stderr)
    sys.exit(2)


def underscored(arguments: Sequence[str]) -> list[str]:
    """Accepts --top-k for --top_k."""
    result = []
    for argument in arguments:
        if argument.startswith("--"):
            flag, equals, value = argument.partition("=")
            argument = "--" + flag[2:].replace("-", "_") + equals + value
        result.append(argument)
    return result


def _sentence(module: ModuleType) -> str:
    """The first line of a module's docstring."""
    return (inspect.getdoc(module) or "").partition("\n")[0]


def _overview() -> str:
    lines = ["usage: keras-vit COMMAND ... (keras-vit COMMAND --help explains each)", ""]
    for command in COMMANDS:
        module = _module(command)
        lines.append(f"  {command:<11}{_sentence(module)}")
    return "\n".join([*lines, "", "  --version  Print the version."])
