# SPDX-License-Identifier: MIT
"""Opens the web and nothing else: a server may send its visitor on, but not to files or FTP."""

import urllib.request


def web_alone() -> urllib.request.OpenerDirector:
    """Opens http and https, and follows redirections to these alone."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener
