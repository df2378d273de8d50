# SPDX-License-Identifier: MIT
"""The one error that is the user's to mend, the words "did you mean" and "pip install"."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """What the user gave cannot be used; the message says what to type instead.

    The command line prints the message alone and exits with 2; from Python it is a `ValueError`.
    """


# What pip calls this package: `keras-vit` is another project on the package index.
DISTRIBUTION = "keras-vit-toolkit"


_SHOWN = 200  # characters of a name in a message


def not_installed(what: str, package: str, extra: str = "") -> UserError:
    """Makes the error for a package that is wanted and not installed.

    Args:
        what: what needs it, e.g. `"ONNX files"`.
        package: the package or module that is missing.
        extra: the extra of this project that brings it, "" for the main installation.
    """
    wanted = f"'{DISTRIBUTION}[{extra}]'" if extra else DISTRIBUTION
    return UserError(f"{what}: needs the package {package}. Type `pip install {wanted}`.")


def unknown(kind: str, name: str, choices: Iterable[str], hint: str = "") -> UserError:
    """Makes the error for a name that is not in a table.

    Args:
        kind: what the name stands for, e.g. `"recipe"`.
        name: what was received.
        choices: every valid name.
        hint: where to see them all, e.g. `` "`keras-vit list recipes`" ``.

    Returns:
        A `UserError`, for the caller to raise, that offers the nearest names.
    """
    choices = sorted(choices)
    lowered = {choice.lower(): choice for choice in choices}
    near = [lowered[match] for match in difflib.get_close_matches(name.lower(), lowered, 3, 0.5)]
    shown = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}..."
    message = f"unknown {kind} {shown!r}."
    if near:
        message += f" Did you mean {' or '.join(near)}?"
    elif len(choices) <= 24:
        message += f" Expected one of: {', '.join(choices)}."
    if hint:
        message += f" See {hint}."
    return UserError(message)
