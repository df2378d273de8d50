# SPDX-License-Identifier: MIT
"""JSON files that lie beside weights."""

import os
from typing import Any

from keras_vit.untrusted import read_json as read_untrusted_json


def read_json(path: str | os.PathLike) -> dict[str, Any]:
    """Reads a JSON object.

    Returns:
        The object, or `{}` where there is no such file.
    """
    return read_untrusted_json(path, dict[str, Any]) if os.path.lexists(path) else {}
