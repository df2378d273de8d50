# SPDX-License-Identifier: MIT
import http.server
import threading

import pytest

from keras_vit.weights import download
from tests.weights.loopback import DATA, Server


@pytest.fixture
def serve(monkeypatch, tmp_path):
    """Starts a server; gives its address."""
    monkeypatch.setenv("KERAS_VIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "FIRST_WAIT", 0.01)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

    def start(behaviour="", files=None):
        Server.files = files or {"/x.npz": DATA}
        Server.behaviour = behaviour
        Server.requests, Server.shown = [], []
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    server.shutdown()
    server.server_close()
