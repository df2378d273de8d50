# SPDX-License-Identifier: MIT
"""Downloads to a cache folder: resumable, atomic, and checked against what came the first time."""

import hashlib
import http.client
import json
import os
import re
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from keras_vit.errors import UserError
from keras_vit.files import cache_folder, write_text
from keras_vit.progress import step
from keras_vit.untrusted import limits, schema
from keras_vit.untrusted.web import web_alone
from keras_vit.weights.config_files import read_json

TRIES = 5
TIMEOUT = 30.0  # seconds without a byte
MINUTE = 60.0  # seconds in which `limits.DOWNLOAD_MINUTE` bytes must come
FIRST_WAIT = 0.25  # seconds before the second try; doubled before each further one
CHUNK = 2**20
_BROKEN = (OSError, http.client.HTTPException)


class Refused(UserError):
    """The server answered, and the answer will not change by asking again.

    Attributes:
        status: of HTTP, e.g. 404; None where the answer itself is at fault.
    """

    def __init__(self, message: str, status: int | None = None):
        super().__init__(message)
        self.status = status


class Record(NamedTuple):
    """What was downloaded the first time; kept next to the file."""

    url: str
    size: int
    sha256: str


def fetch(
    url: str,
    folder: str | os.PathLike | None = None,
    name: str | None = None,
    token: str | None = None,
    sha256: str = "",
) -> Path:
    """Returns the local copy of a URL, downloading what is missing of it.

    A broken transfer goes on where it stopped, also in another process. Size and SHA-256 are
    recorded when a file first arrives and checked whenever it is asked for again.

    Args:
        url: https or http.
        folder: where to keep it; a folder of the cache named after the URL when None.
        name: the file's name; the last part of the URL when None.
        token: shown to the server of the URL, and to no other that it sends us on to.
        sha256: the first digits of its hash, where the publisher states them.

    Raises:
        UserError: when it cannot be had (offline, 404), is not what it was or what its publisher
            states, or has more bytes than the server said, than the disk has room for, or than
            `keras_vit.untrusted.limits` allows.
    """
    target = _target(url, folder, name)
    record_file = target.with_name(f"{target.name}.record.json")
    record = _known(record_file)
    if record and target.is_file():
        _check(target, record)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    _download(url, part, token)
    found = Record(url, part.stat().st_size, _sha256(part))
    problem = _another_file(found, record, sha256, record_file)
    if problem:
        part.unlink()
        raise UserError(f"{url}: the file is not the one that was {problem}")
    write_text(record_file, json.dumps(found._asdict(), indent=2) + "\n")
    part.replace(target)
    return target


def _target(url: str, folder: str | os.PathLike | None, name: str | None) -> Path:
    """Where the file of a URL is kept."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError as error:
        raise UserError(f"{url}: is not a URL ({error}).") from None
    if parts.scheme not in ("http", "https"):
        raise UserError(f"{url}: expected a URL that starts with https:// or http://.")
    name = name or Path(urllib.parse.unquote(parts.path)).name
    if not re.fullmatch(r"[\w][\w.+=-]*", name):
        raise UserError(f"{url}: expected a URL that ends in a plain file name, received {name!r}.")
    if folder is None:
        folder = cache_folder() / hashlib.sha256(url.encode()).hexdigest()[:16]
    return Path(folder) / name


def _known(record_file: Path) -> Record | None:
    values = read_json(record_file)
    if set(values) != set(Record._fields):
        return None
    kinds = {"url": str, "size": int, "sha256": str}
    fields = {name: schema.check(values[name], kinds[name], str(record_file)) for name in kinds}
    return Record(**fields)


def _another_file(found: Record, record: Record | None, sha256: str, record_file: Path) -> str:
    """What speaks against a file that has just come, as the end of a sentence, or ""."""
    if not found.sha256.startswith(sha256):
        return f"published: its sha256 is {found.sha256}, and has to begin with {sha256}."
    if record and (record.size, record.sha256) != (found.size, found.sha256):
        return (
            f"downloaded before (sha256 {found.sha256}, was {record.sha256}). If it was replaced "
            f"on purpose, delete {record_file}."
        )
    return ""


def _check(target: Path, record: Record) -> None:
    size = target.stat().st_size
    if size != record.size or _sha256(target) != record.sha256:
        raise UserError(
            f"{target}: the file has changed since it was downloaded from {record.url} "
            f"({size} bytes, was {record.size}). Delete it to download it again."
        )


def _download(url: str, part: Path, token: str | None) -> None:
    """Fills `part` until the whole file is there."""
    reason = ""
    for attempt in range(TRIES):
        if attempt:
            time.sleep(FIRST_WAIT * 2 ** (attempt - 1))
        try:
            if _continue(url, part, token):
                return
            reason = "the connection ended early"
        except Refused as error:
            part.unlink(missing_ok=True)
            raise Refused(f"{url}: {error}", error.status) from None
        except _BROKEN as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
    have = part.stat().st_size if part.exists() else 0
    raise UserError(
        f"{url}: could not be downloaded ({reason}); {have} bytes are kept. Check the connection "
        "and run it again: it goes on from there. Offline, give the path of a local file."
    )


def _continue(url: str, part: Path, token: str | None) -> bool:
    """One transfer; True when the file is whole."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "keras-vit"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        response = web_alone().open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # nothing after what we have: it is another file, or whole
            part.unlink(missing_ok=True)
            return False
        if 300 <= error.code < 500:  # 300: sent on in a circle, or to what is not the web
            raise Refused(f"the server answers {error.code} {error.reason}.", error.code) from None
        raise
    with response:
        resumed = response.status == 206
        total = _total(response, have if resumed else 0)
        start = have if resumed else 0
        size = None if total is None else (total - start) / 1e6
        doing = f"downloading {part.stem}"
        room = _room(total, start, part.parent)
        with part.open("ab" if resumed else "wb") as file, step(doing, size, "MB") as shown:
            for chunk in _chunks(response):
                if file.tell() + len(chunk) > room:
                    raise Refused(_too_much(total, room))
                file.write(chunk)
                shown.advance(len(chunk) / 1e6)
    return total is None or part.stat().st_size == total


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """What arrives, as it arrives.

    Raises:
        TimeoutError: when bytes come, but so slowly that the end may never be seen.
    """
    since, received = time.monotonic(), 0
    while chunk := response.read1(CHUNK):
        yield chunk
        received += len(chunk)
        if time.monotonic() - since > MINUTE:
            if received < limits.DOWNLOAD_MINUTE:
                raise TimeoutError(f"{received:,} bytes came in {MINUTE:.0f} s")
            since, received = time.monotonic(), 0


def _room(total: int | None, start: int, folder: Path) -> int:
    """Bytes that the file may have: those that were announced, or a limit."""
    free = start + shutil.disk_usage(folder).free
    if total is None:
        return min(limits.DOWNLOAD_WITHOUT_LENGTH, free)
    if total > min(limits.MODEL, free):
        limit = f"the limit is {limits.MODEL:,}" if free > limits.MODEL else f"{free:,} are free"
        raise Refused(f"has {total:,} bytes; {limit} in {folder}.")
    return total


def _too_much(total: int | None, room: int) -> str:
    if total is not None:
        return f"the server sends more than the {total} bytes it announced."
    return f"the server does not say how long the file is, and sends more than {room:,} bytes."


def _total(response: http.client.HTTPResponse, have: int) -> int | None:
    """Bytes of the whole file, where the server says so."""
    if have:
        match = re.fullmatch(
            r"bytes ([0-9]{1,18})-[0-9]+/([0-9]{1,18})", response.headers.get("Content-Range", "")
        )
        if not match or int(match[1]) != have:
            raise Refused("the server resumes at another place than asked for.")
        return int(match[2])
    length = response.headers.get("Content-Length", "")
    return int(length) if re.fullmatch("[0-9]{1,18}", length) else None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
