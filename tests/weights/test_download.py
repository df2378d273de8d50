# SPDX-License-Identifier: MIT
"""Downloads against a server on loopback that is slow, breaks off, lies, or has nothing."""

import hashlib
import json

import pytest

from keras_vit import UserError
from keras_vit.files import cache_folder
from keras_vit.untrusted import limits
from keras_vit.weights import download
from keras_vit.weights.download import fetch
from tests.weights.loopback import DATA, Server


def test_size_and_hash_are_recorded_and_checked(serve):
    url = serve() + "/x.npz"
    path = fetch(url)
    assert path.read_bytes() == DATA
    record = json.loads(path.with_name("x.npz.record.json").read_text())
    assert record == {"url": url, "size": len(DATA), "sha256": hashlib.sha256(DATA).hexdigest()}
    assert fetch(url) == path
    assert len(Server.requests) == 1  # the second time nothing is asked
    path.write_bytes(DATA[:-1] + b"x")
    with pytest.raises(UserError, match="has changed since it was downloaded"):
        fetch(url)


def test_a_file_that_was_replaced_at_its_home(serve):
    url = serve() + "/x.npz"
    fetch(url).unlink()
    Server.files = {"/x.npz": DATA[::-1]}
    with pytest.raises(UserError, match="not the one that was downloaded before"):
        fetch(url)


@pytest.mark.parametrize("behaviour", ["slow", "cut off", "no ranges"])
def test_trouble_that_passes(serve, behaviour):
    path = fetch(serve(behaviour) + "/x.npz")
    assert path.read_bytes() == DATA
    assert sorted(p.name for p in path.parent.iterdir()) == ["x.npz", "x.npz.record.json"]
    if behaviour == "cut off":
        assert Server.requests[1] == f"bytes={len(DATA) // 3}-"


def test_a_server_that_stalls(serve, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 0.5)
    assert fetch(serve("stalls") + "/x.npz").read_bytes() == DATA


def test_another_run_goes_on_where_the_first_stopped(serve, monkeypatch):
    monkeypatch.setattr(download, "TRIES", 1)
    url = serve("always cut off") + "/x.npz"
    with pytest.raises(UserError, match="51200 bytes are kept"):
        fetch(url)
    serve()
    assert fetch(url).read_bytes() == DATA
    assert Server.requests == ["bytes=51200-"]


def test_a_server_that_lies_about_the_size(serve):
    """The client stops at the announced length; the file is then not a sound checkpoint."""
    path = fetch(serve("lies about its size") + "/x.npz")
    assert path.stat().st_size == len(DATA) - 100


def test_a_server_that_does_not_say_the_length(serve, monkeypatch):
    assert fetch(serve("without a length") + "/x.npz").read_bytes() == DATA
    monkeypatch.setattr(limits, "DOWNLOAD_WITHOUT_LENGTH", 2**16)
    with pytest.raises(UserError, match="does not say how long the file is, and sends more than"):
        fetch(serve("without a length", {"/y.npz": DATA}) + "/y.npz")
    assert len(Server.requests) == 1
    assert not list(cache_folder().rglob("*.part"))


def test_a_server_that_announces_more_than_there_is_room_for(serve):
    with pytest.raises(UserError, match=r"has 100,000,000,000,000,000 bytes; "):
        fetch(serve("announces too much") + "/x.npz")
    assert len(Server.requests) == 1


def test_a_server_that_drips(serve, monkeypatch):
    monkeypatch.setattr(download, "MINUTE", 0.0)  # which is over when the first bytes are there
    monkeypatch.setattr(download, "TRIES", 2)
    with pytest.raises(UserError, match=r"bytes came in 0 s\); \d+ bytes are kept"):
        fetch(serve("slow") + "/x.npz")


@pytest.mark.parametrize("place", ["file:///etc/passwd", "ftp://127.0.0.1:1/x", "/x.npz"])
def test_a_server_that_sends_its_visitor_on(serve, place):
    with pytest.raises(UserError, match=r"answers 302|unknown url type: ftp"):
        fetch(serve(place) + "/x.npz")


def test_not_found_and_offline(serve):
    base = serve()
    with pytest.raises(UserError, match="answers 404"):
        fetch(f"{base}/y.npz")
    assert len(Server.requests) == 1  # asking again would not help
    with pytest.raises(UserError, match=r"could not be downloaded .* Offline, give the path"):
        fetch("http://127.0.0.1:1/x.npz")


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://x/y.npz", "https://x/", "https://x/..", "https://[x/y.npz"],
)
def test_urls_that_are_refused(url):
    with pytest.raises(UserError, match=r"expected a URL|is not a URL"):
        fetch(url)


def test_a_hash_that_the_publisher_states(serve, tmp_path):
    base, sha256 = serve(), hashlib.sha256(DATA).hexdigest()
    for stated in ("0123abcd", sha256[:7] + "x"):
        with pytest.raises(UserError, match=f"has to begin with {stated}"):
            fetch(f"{base}/x.npz", tmp_path, sha256=stated)
        assert not list(tmp_path.iterdir())
    assert fetch(f"{base}/x.npz", tmp_path, sha256=sha256[:8]).read_bytes() == DATA
