# SPDX-License-Identifier: MIT
"""An image from the web: what is fetched is small, soon there, and comes by http or https."""

import http.client
import io
import time
import urllib.error
import urllib.parse
import urllib.request

from keras_vit.errors import UserError
from keras_vit.untrusted import limits
from keras_vit.untrusted.web import web_alone

_CHUNK = 2**16


def download(url: str) -> bytes:
    """The contents of a URL, which stay in memory.

    Raises:
        UserError: when it cannot be had, is larger than `limits.WEB_IMAGE`, takes longer than
            `limits.WEB_SECONDS`, or leads to anything but http and https.
    """
    deadline = time.monotonic() + limits.WEB_SECONDS
    try:
        quoted = urllib.parse.quote(url, safe="%/:=&?~#+!$,;'@()*[]")
        request = urllib.request.Request(quoted, headers={"User-Agent": "keras_vit"})
        with web_alone().open(request, timeout=limits.WEB_SILENCE) as response:
            content = io.BytesIO()
            while chunk := response.read1(_CHUNK):
                content.write(chunk)
                if content.tell() > limits.WEB_IMAGE:
                    raise UserError(f"{url}: has more than {limits.WEB_IMAGE:,} bytes, the limit.")
                if time.monotonic() > deadline:
                    raise UserError(f"{url}: took more than {limits.WEB_SECONDS} s, the limit.")
    except (OSError, ValueError, http.client.HTTPException) as error:
        if isinstance(error, UserError):
            raise
        found = error if isinstance(error, urllib.error.HTTPError) else None  # with its number
        reason = str(found or getattr(error, "reason", error)) or type(error).__name__
        if found:
            found.close()
        raise UserError(f"{url}: could not be downloaded ({reason}).") from error
    return content.getvalue()
