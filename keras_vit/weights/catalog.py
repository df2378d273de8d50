# SPDX-License-Identifier: MIT
"""Public checkpoints worth having: where they are, and what their publishers say of them.

The facts stand in `catalog.toml`. Sizes and hashes of files are recorded when they first arrive
(see `download`).
"""

import functools
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError, unknown
from keras_vit.origins import UNKNOWN, Origin
from keras_vit.preprocessing import View

_FILE = Path(__file__).with_suffix(".toml")
_HUB = "https://huggingface.co/"
_PACKAGED = "package:"  # before the name of a file in `bundled`


class Licence(NamedTuple):
    """Under what weights are published.

    Attributes:
        name: SPDX's name, or the publisher's own word.
        terms: address of its text.
        restriction: what it forbids or asks for, "" for nothing but its notice.
    """

    name: str
    terms: str
    restriction: str = ""


class Entry(NamedTuple):
    """A public checkpoint.

    Attributes:
        name: in the catalog.
        at: an address, `hf:owner/name`, or `package:` and the name of a file that comes with this
            package.
        family: what it is a member of, with the paper.
        dialect: of its tensors.
        fields: of `ViTConfig`; `model` is the size that they change, where there is one.
        parameters: as its publisher's library counts them.
        licence: under what it is published.
        gated: whether the publisher asks for a name first.
        accuracy: published top-1 on ImageNet-1k in per cent, or None.
        measures: what the accuracy is of: "classes" of the file's own head, "linear" of a linear
            classifier on the features, "zero-shot" of names of classes in the text's tower, ...
        source: the page that says so.
        sha256: the first digits of the file's hash where they are published, else "".
        options: arguments of `load_model` that the file does not tell.
        view: what of an image its publisher's code lets it see, where no file of theirs says it.
    """

    name: str
    at: str
    family: str
    dialect: str
    fields: dict[str, Any]
    parameters: int
    licence: Licence
    gated: bool
    accuracy: float | None
    measures: str
    source: str
    sha256: str
    options: dict[str, Any]
    view: View

    @property
    def config(self) -> ViTConfig:
        """What the file holds, known before it is there."""
        fields = dict(self.fields)
        model = fields.pop("model", None)
        return ViTConfig(**fields) if model is None else ViTConfig.of(model, **fields)

    @property
    def packaged(self) -> Path | None:
        """The file, where it comes with this package."""
        if not self.at.startswith(_PACKAGED):
            return None
        return Path(__file__).parent / "bundled" / self.at.removeprefix(_PACKAGED)

    @property
    def page(self) -> str:
        """Where a person reads about it, and asks for access where it is gated."""
        return _HUB + self.at.removeprefix("hf:") if self.at.startswith("hf:") else self.source

    @property
    def origin(self) -> Origin:
        """What travels with a model that is made of it."""
        restriction = self.licence.restriction
        if self.gated:
            restriction = f"{restriction}; gated: ask for access at {self.page}".lstrip("; ")
        return Origin(self.name, self.licence.name, self.licence.terms, restriction)


@functools.cache
def _content() -> dict[str, Any]:
    with _FILE.open("rb") as file:
        return tomllib.load(file)


@functools.cache
def catalog() -> dict[str, Entry]:
    """Every public checkpoint by its name."""
    licences = _licences()
    return {
        row["name"]: _entry(family, row, licences, _content())
        for family in _content()["families"]
        for row in family["checkpoints"]
    }


def _licences() -> dict[str, Licence]:
    return {name: Licence(name, **row) for name, row in _content()["licences"].items()}


def licensed(weights: str, licence: str, terms: str = "") -> Origin:
    """Weights under a licence that is called so, in any case, by who publishes them.

    Args:
        weights: their name or address.
        licence: its name.
        terms: where to look where the catalog does not know the licence.
    """
    known = {name.lower(): row for name, row in _licences().items()}
    found = known.get(licence.lower(), Licence(licence, terms))
    return Origin(weights, found.name, found.terms, found.restriction)


def select(
    licences: Iterable[str] = (), max_parameters: float | None = None, search: str = ""
) -> dict[str, Entry]:
    """Some of the catalog, in its order.

    Args:
        licences: names of licences, in any case; none for all.
        max_parameters: at most so many.
        search: a text in the name, the family or the address, in any case.

    Raises:
        UserError: for a licence that no entry has, and where nothing fits.
    """
    known = {entry.licence.name.lower(): entry.licence.name for entry in catalog().values()}
    for licence in licences:
        if licence.lower() not in known:
            raise unknown("licence", licence, known.values(), "`keras-vit list weights`")
    wanted = {known[licence.lower()] for licence in licences} or set(known.values())
    found = {
        name: entry
        for name, entry in catalog().items()
        if entry.licence.name in wanted
        and (max_parameters is None or entry.parameters <= max_parameters)
        and search.lower() in f"{name} {entry.family} {entry.at}".lower()
    }
    if not found:
        raise UserError("no weights of the catalog fit all that was asked for. Ask for less.")
    return found


def _entry(
    family: dict[str, Any],
    row: dict[str, Any],
    licences: dict[str, Licence],
    tables: dict[str, dict[str, dict[str, Any]]],
) -> Entry:
    """A row of the file with what its family says of all."""
    given = {**family, **row}
    fields = {**family.get("config", {}), **row.get("config", {})}
    fields |= {name: given[name] for name in ("image_size", "num_classes")}
    if fields.get("head_bias") is False:  # the format has no None
        fields["head_bias"] = None
    if "model" in given:
        fields["model"] = given["model"]
    options = dict(given.get("options", {}))
    if "pixels" in given:
        values = tables["pixels"][given["pixels"]]
        seen = {f"pixel_{name}": tuple(numbers) for name, numbers in values.items()}
        fields |= seen
        options |= {} if given["at"].startswith("hf:") else seen  # a repository has a file of them
    view = tables["views"][given["view"]] if "view" in given else {}
    return Entry(
        given["name"],
        given["at"],
        family["title"],
        given["dialect"],
        fields,
        given["parameters"],
        licences[given["licence"]],
        given.get("gated", False),
        given.get("top1"),
        given.get("measures", ""),
        given["source"],
        given.get("sha256", ""),
        {**options, **view},
        View(**view),
    )


def origin_of(weights: str) -> Origin | None:
    """Where weights come from that are named by their name in the catalog or by their address.

    Args:
        weights: what somebody wrote.

    Returns:
        None for a path; of an address that the catalog does not have, an unknown licence.
    """
    if weights in catalog():
        return catalog()[weights].origin
    address = weights.partition("@")[0] if weights.startswith("hf:") else weights
    found = next((entry for entry in catalog().values() if entry.at == address), None)
    if found is not None:
        return found.origin
    if weights.startswith("hf:"):
        return Origin(weights, UNKNOWN, _HUB + address.removeprefix("hf:"))
    if weights.startswith(("http://", "https://")):
        return Origin(weights.partition("?")[0], UNKNOWN)  # what follows may be a key
    return None


def check_named(weights: str, others: Iterable[str] = ()) -> None:
    """Raises the `UserError` of weights that no name of the catalog, address or path stands for.

    Nothing is opened or fetched: a slip of the finger is told before minutes of other work.

    Args:
        weights: what somebody wrote.
        others: names of other things that may have been meant.
    """
    if weights in catalog() or weights.startswith(("http://", "https://", "hf:")):
        return
    path = Path(weights)
    if path.exists() or ".npz:" in weights:
        return
    if path.suffix in (".npz", ".safetensors", ".keras", ".bin", ".pth", ".pt"):
        raise UserError(f"{weights}: no such file. Expected a file of weights or a folder of one.")
    names = [*catalog(), *others]
    raise unknown("weights", weights, names, "`keras-vit list weights`; or give a path or a URL")
