# SPDX-License-Identifier: MIT
"""Prints the oldest versions that setup.py allows, as constraints for pip.

    python .ci/oldest.py > oldest.txt && pip install -e '.[test]' -c oldest.txt

Of the main installation and the extra `test`; what those bring along is as new as they allow.
"""

import re
import runpy
from pathlib import Path
from unittest import mock

SETUP = Path(__file__).parent.parent / "setup.py"


def requirements() -> dict[str, list[str]]:
    """What setup.py asks for, by extra; "" is the main installation."""
    with mock.patch("setuptools.setup") as setup:
        runpy.run_path(str(SETUP))
    told = setup.call_args.kwargs
    return {"": told["install_requires"], **told["extras_require"]}


def oldest(asked: list[str]) -> list[str]:
    """`name==version` of the lowest version of each."""
    found = []
    for requirement in asked:
        name, floor = re.match(r"([\w.-]+).*>=([\w.]+)", requirement).groups()
        found.append(f"{name}=={floor}")
    return found


if __name__ == "__main__":
    every = requirements()
    print("\n".join(oldest(every[""] + every["test"])))
