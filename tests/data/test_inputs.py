# SPDX-License-Identifier: MIT
"""An image is an image, whether it is a file, a URL, an array, or one of Pillow's."""

import http.server
import io
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_vit.data.images import read_image
from keras_vit.data.inputs import download, is_one_image, name_of, read_any
from keras_vit.data.sources.folder import find_images
from keras_vit.errors import UserError
from keras_vit.preprocessing import Preprocessing, View
from keras_vit.untrusted import limits

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype="uint8")
HOW = Preprocessing((8, 8), 3, View(0.9))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "cat.png"
    Image.fromarray(PIXELS).save(path)
    return path


class _Handler(http.server.BaseHTTPRequestHandler):
    answers: dict = {}  # noqa: RUF012 - each test fills it

    def do_GET(self):
        status, headers, body = self.answers[self.path.partition("?")[0]]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_every_form_gives_the_pixels_of_the_file(file, server):
    _Handler.answers = {
        "/a b.png": (302, {"Location": "/cat.png?size=1"}, b""),
        "/cat.png": (200, {}, file.read_bytes()),
    }
    _Handler.answers["/a%20b.png"] = _Handler.answers.pop("/a b.png")
    expected = read_image(file, HOW)
    for image in (
        *(file, str(file), Image.open(file), PIXELS, PIXELS.astype("float64")),
        *(f"{server}/cat.png?x=[1]", f"{server}/a b.png"),
    ):
        assert is_one_image(image)
        np.testing.assert_array_equal(read_any(image, "it", HOW), expected)


def test_orientation_and_channels(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS).save(tmp_path / "turned.png", exif=exif)
    expected = read_image(tmp_path / "turned.png", Preprocessing((12, 9), 1))
    found = read_any(Image.open(tmp_path / "turned.png"), "it", Preprocessing((12, 9), 1))
    np.testing.assert_array_equal(found, expected)
    grey = PIXELS[..., 0]
    for one in (grey, grey[..., None], Image.fromarray(grey)):
        found = read_any(one, "it", Preprocessing((9, 12)))
        np.testing.assert_array_equal(found, np.repeat(grey[..., None], 3, axis=-1))


def test_several_images_are_not_one():
    for several in (["a.png"], ("a.png",), iter(()), PIXELS[None], np.array(["a.png", "b.png"])):
        assert not is_one_image(several)
    assert name_of(Path("a.png"), 3) == "a.png"
    assert name_of(PIXELS, 3) == "image 3"


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (PIXELS[None], r"it: expected an array of shape.*received \(1, 9, 12, 3\)"),
        (np.zeros((4, 4, 2)), r"received \(4, 4, 2\)"),
        (np.zeros((0, 4, 3)), r"received \(0, 4, 3\)"),
        (PIXELS / 255, "expected pixels of 0 to 255, received 0 to 1"),
        (PIXELS - 128.0, "expected pixels of 0 to 255, received -128 to"),
        (np.full((4, 4), np.nan), "expected finite numbers"),
        (np.full((4, 4), "x"), "expected finite numbers"),
        (b"abc", "expected a path, a URL, .* received bytes"),
        (None, "received NoneType"),
        ("no/such.png", "no/such.png: no such file"),
        (".", "expected a file, received a folder"),
    ],
)
def test_what_is_no_image(image, message):
    with pytest.raises(UserError, match=message):
        read_any(image, "it", HOW)


def test_the_web_is_bounded(server, file, monkeypatch):
    _Handler.answers = {
        "/page.png": (200, {}, b"<html>"),
        "/gone.png": (404, {}, b""),
        "/local.png": (302, {"Location": f"file://{file}"}, b""),
        "/ftp.png": (302, {"Location": "ftp://127.0.0.1/a.png"}, b""),
        "/loop.png": (302, {"Location": "/loop.png"}, b""),
        "/short.png": (200, {"Content-Length": "100"}, b"abc"),
        "/large.png": (200, {}, bytes(3_000)),
    }
    for name, reason in {
        "page": "is not a readable image",
        "gone": "404",
        "local": "could not be downloaded",
        "ftp": "could not be downloaded",
        "loop": "could not be downloaded",
        "short": "could not be downloaded|is not a readable image",
    }.items():
        with pytest.raises(UserError, match=rf"{server}/{name}\.png: .*({reason})"):
            read_any(f"{server}/{name}.png", "it", HOW)
    monkeypatch.setattr(limits, "WEB_IMAGE", 1_000)
    with pytest.raises(UserError, match=r"large\.png: has more than 1,000 bytes"):
        read_any(f"{server}/large.png", "it", HOW)
    monkeypatch.setattr(limits, "WEB_SECONDS", -1)
    with pytest.raises(UserError, match=r"page\.png: took more than"):
        read_any(f"{server}/page.png", "it", HOW)
    for url in ("file:///etc/passwd", "ftp://127.0.0.1/a"):
        with pytest.raises(UserError, match="could not be downloaded"):
            download(url)
    with pytest.raises(UserError, match="could not be downloaded"):
        download("http://")


def test_the_command_line_takes_urls():
    assert find_images(["https://example.org/a.png?x=*"]) == ["https://example.org/a.png?x=*"]


def test_contents_in_memory_still_have_no_name():
    with pytest.raises(UserError, match="is empty"):
        read_image(io.BytesIO(), HOW)
