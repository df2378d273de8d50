# SPDX-License-Identifier: MIT
"""The page on what a model looks at: one HTML file that needs no network and no other file."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from keras_vit.analysis import layer_costs, patch_filters, position_similarity
from keras_vit.config.costs import LayerCost
from keras_vit.files import write_text
from keras_vit.models import config_of
from keras_vit.progress import step
from keras_vit.reports.model_figures import distances, spread
from keras_vit.reports.page.charts import dots_chart
from keras_vit.reports.page.filling import filled
from keras_vit.reports.page.pictures import cells, filter_picture, map_over, picture
from keras_vit.reports.sights import TITLES, Explained, Sight

_NAME = "explanations.html"
_IMAGES = 64  # on a page
_FILTERS = 28


class Card(NamedTuple):
    """An image with its maps.

    Attributes:
        file: what the image is called.
        image, over, cells: data URIs: the image, the map over it, and the map by itself.
        said, then, true: the predicted class, the next ones, and the true one, in words.
        right: whether the model is, where that is known.
        peak: how many times the mean the brightest patch has.
        level: where on a scale from zero to that patch the mean lies, 0 to 1.
    """

    file: str
    image: str
    over: str
    cells: str
    said: str
    then: str
    true: str
    right: bool | None
    peak: float
    level: float


class Method(NamedTuple):
    """A method of explanation: its title, how it did, and a card for each image."""

    title: str
    verdict: str
    cards: tuple[Card, ...]


class Heads(NamedTuple):
    """An image and what each head attends to, as data URIs."""

    card: Card
    maps: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class SightsPage:
    """What the page says.

    Attributes:
        title: what the model is called.
        answer: how the first map did, in one sentence.
        left_out: images that are not on the page.
        sheet: the contact sheet: a card for each image.
        methods: by which maps were made.
        heads: of the last block, or of the pool of attention.
        distance: a chart of how far each head looks.
        positions: rows of data URIs: how alike all positions are to each of some.
        filters: data URIs and shares of the variance.
        costs: of each layer.
    """

    title: str
    answer: str
    left_out: int
    sheet: tuple[Card, ...]
    methods: tuple[Method, ...]
    heads: tuple[Heads, ...]
    distance: Markup | None
    positions: tuple[tuple[str, ...], ...]
    filters: tuple[tuple[str, float], ...]
    costs: tuple[tuple[str, LayerCost], ...]


def write_sights(out: Path, explained: Explained) -> Path:
    """Writes `explanations.html` into a folder and returns its path."""
    with step("writing the page"):
        page = _page(explained)
        write_text(out / _NAME, filled("sights.html.jinja", page))
    return out / _NAME


def _page(explained: Explained) -> SightsPage:
    names, model = explained.names[:_IMAGES], explained.model
    methods = tuple(
        Method(TITLES[method], explained.verdicts[method], _cards(names, sights))
        for method, sights in explained.sights.items()
    )
    heads = tuple(
        Heads(_card(name, sight), tuple(cells(one) for one in maps))
        for name, (sight, maps) in zip(names, explained.heads, strict=False)
    )
    sheet = methods[0].cards if methods else tuple(one.card for one in heads)
    of_the_model = explained.of_the_model
    return SightsPage(
        title=f"What {explained.title} looks at",
        answer=_answer(methods),
        left_out=max(0, len(explained.names) - _IMAGES),
        sheet=sheet,
        methods=methods,
        heads=heads,
        distance=_distance(explained) if "distance" in of_the_model else None,
        positions=_positions(model) if "positions" in of_the_model else (),
        filters=_filters(model) if "filters" in of_the_model else (),
        costs=tuple(layer_costs(config_of(model)).items()),
    )


def _answer(methods: tuple[Method, ...]) -> str:
    if not methods:
        return "How the model looks at images, and what it is like inside."
    first = methods[0]
    return f"{first.title[0].upper()}{first.title[1:]}: {first.verdict}."


def _cards(names, sights) -> tuple[Card, ...]:
    return tuple(_card(name, sight) for name, sight in zip(names, sights, strict=False))


def _card(name: str, sight: Sight) -> Card:
    peak = float(sight.times_mean.max())
    return Card(
        name,
        picture(sight.image),
        map_over(sight.image, sight.map),
        cells(sight.map),
        f"{sight.predicted} ({sight.score:.0%})",
        sight.then,
        sight.true or "",
        sight.right,
        peak,
        1 / peak if peak else 0.0,
    )


def _distance(explained: Explained) -> Markup:
    heads, everywhere = distances(explained.model, explained.images)
    title = "How far each head looks, in pixels"
    return dots_chart(title, "block", heads.tolist(), everywhere)


def _positions(model) -> tuple[tuple[str, ...], ...]:
    similarity = position_similarity(model)
    rows, columns = (spread(side) for side in similarity.shape[:2])
    return tuple(tuple(cells(similarity[row, column], -1, 1) for column in columns) for row in rows)


def _filters(model) -> tuple[tuple[str, float], ...]:
    filters, shares = patch_filters(model, _FILTERS)
    return tuple(
        (filter_picture(one), float(share)) for one, share in zip(filters, shares, strict=True)
    )
