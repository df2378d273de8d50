# SPDX-License-Identifier: MIT
"""`hf:owner/name`: a repository of the Hugging Face hub as a local folder."""

import hashlib
import os
import re
from pathlib import Path

from keras_vit.errors import UserError
from keras_vit.files import cache_folder
from keras_vit.weights.download import Refused, fetch
from keras_vit.weights.formats import read_index

ENDPOINT = "https://huggingface.co"
_FORM = re.compile(r"hf:(?P<owner>[\w.-]+)/(?P<name>[\w.-]+)(?:@(?P<revision>[\w.-]+))?")
_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "open_clip_model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
# Where a token is not read on its way.
_SAFE = re.compile(r"https://|http://(127\.0\.0\.1|localhost)[:/]")
_OPTIONAL = (
    *("config.json", "preprocessor_config.json", "processor_config.json"),
    "open_clip_config.json",
)


def fetch_repository(source: str) -> Path:
    """Downloads the weights and configuration of a repository.

    Args:
        source: `hf:owner/name`, with `@revision` for another than "main". The environment variable
            HF_ENDPOINT names another hub, HF_TOKEN opens repositories that are private or gated.

    Returns:
        A folder of the cache.

    Raises:
        UserError: for a malformed name, or a repository without weights.
    """
    match = _FORM.fullmatch(source)
    if not match:
        raise UserError(
            f"{source}: expected hf:owner/name or hf:owner/name@revision, "
            "e.g. hf:google/vit-base-patch16-224."
        )
    endpoint = os.environ.get("HF_ENDPOINT", ENDPOINT).rstrip("/")
    revision = match["revision"] or "main"
    base = f"{endpoint}/{match['owner']}/{match['name']}/resolve/{revision}"
    folder = cache_folder() / hashlib.sha256(base.encode()).hexdigest()[:16]
    for name in _OPTIONAL:
        _try(f"{base}/{name}", folder)
    for name in _WEIGHTS:
        weights = _try(f"{base}/{name}", folder)
        if weights is None:
            continue
        if name.endswith(".index.json"):
            for part in sorted(set(read_index(weights).values())):
                _fetch(f"{base}/{part}", folder)
        return folder
    raise UserError(f"{source}: the repository has none of {', '.join(_WEIGHTS)}.")


def _try(url: str, folder: Path) -> Path | None:
    """The file, or None where the server has no such file."""
    try:
        return _fetch(url, folder)
    except Refused as error:
        if error.status == 404:
            return None
        raise


def _fetch(url: str, folder: Path) -> Path:
    token = os.environ.get("HF_TOKEN", "").strip()
    try:
        return fetch(url, folder, token=token if _SAFE.match(url) else None)
    except Refused as error:
        if error.status not in (401, 403):
            raise
        what = "give HF_TOKEN a token that opens it" if token else "set HF_TOKEN to your token"
        raise UserError(
            f"{error} The repository is private, gated or not there: ask for access on its page, "
            f"then {what}."
        ) from None
