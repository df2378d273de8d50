# SPDX-License-Identifier: MIT
"""A server on loopback that is slow, breaks off, lies, or has nothing."""

import contextlib
import http.server
import re
import time

DATA = bytes(range(256)) * 400


class Server(http.server.BaseHTTPRequestHandler):
    """Serves `files`; `behaviour` says how badly."""

    files: dict[str, bytes] = {}  # noqa: RUF012 - set by each test
    behaviour = ""
    requests: list[str] = []  # noqa: RUF012 - the ranges that were asked for
    shown: list[tuple[str, str]] = []  # noqa: RUF012 - paths, and what authorized the visitor

    def do_GET(self):
        asked = self.headers.get("Range", "")
        self.requests.append(asked)
        token = self.headers.get("Authorization", "")
        self.shown.append((self.path, token))
        if self.behaviour == "gated" and self.path.startswith("/owner/"):
            if token != "Bearer hf_right":
                self.send_error(401 if not token else 403)
                return
            self.send_response(302)
            self.send_header(
                "Location", f"http://localhost:{self.server.server_port}{self.path[6:]}"
            )
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = self.files.get(self.path)
        if data is None:
            self.send_error(404)
            return
        if self.behaviour.startswith(("http:", "file:", "ftp:", "/")):
            self.send_response(302)
            self.send_header("Location", self.behaviour)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked else 0
        if self.behaviour == "no ranges":
            start = 0
        if start >= len(data):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        short = 100 if self.behaviour == "lies about its size" else 0
        if self.behaviour == "announces too much":
            self.send_header("Content-Length", str(10**17))
        elif self.behaviour != "without a length":
            self.send_header("Content-Length", str(len(data) - start - short))
        self.end_headers()
        part = data[start:]
        if self.behaviour in ("cut off", "no ranges") and len(self.requests) < 3:
            part = part[: len(part) // 3]
        if self.behaviour == "always cut off":
            part = part[: len(part) // 2]
        for i in range(0, len(part), 8192):
            if self.behaviour == "slow":
                time.sleep(0.01)
            if self.behaviour == "stalls" and len(self.requests) == 1 and i:
                time.sleep(1.0)
            with contextlib.suppress(OSError):
                self.wfile.write(part[i : i + 8192])

    def log_message(self, *args):
        pass
