# SPDX-License-Identifier: MIT
"""Keeps what native libraries write to standard error from the user, who did not ask."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

# LiteRT says so whenever its usual kernels are used, and Python cannot set its log level.
CHATTER = b"INFO: Created TensorFlow Lite XNNPACK delegate"


@contextlib.contextmanager
def without_lines(beginning: bytes = CHATTER) -> Iterator[None]:
    """Holds standard error back, at the level of the operating system, and then passes it on
    without the lines that begin so.

    Args:
        beginning: of the lines that are left out.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            log.seek(0)
            said = [line for line in log if not line.startswith(beginning)]
            if said:
                os.write(2, b"".join(said))
