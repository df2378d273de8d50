# SPDX-License-Identifier: MIT
"""Which examples are held out for validation and for the test: a function of labels and seed."""

from collections.abc import Iterator, Sequence

import numpy as np

from keras_vit.data.dataset import ImageSet, Split
from keras_vit.errors import UserError
from keras_vit.untrusted.text import Line

FOR_VALIDATION = "held out for validation"  # in the note on it


def divide(
    name: str,
    classes: Sequence[str],
    splits: dict[str, Split],
    test: float,
    validation: float,
    seed: int,
) -> ImageSet:
    """Completes the splits of a source: those it has stay, the others are held out of "train".

    Args:
        name: name of the set.
        classes: class names; empty for images without labels.
        splits: "train", and where the source has them "validation" and "test".
        test: share of "train" to hold out when there is neither a test nor a validation split.
        validation: share of the remaining "train" to hold out when there is no validation split.
        seed: seed of the choice, which is stratified by class.

    Returns:
        The set. With a validation but no test split, both are the same and `notes` says so.
    """
    splits = {split: examples.named(split) for split, examples in splits.items()}
    train, notes = splits["train"], []
    # One of three is held out; to do it twice takes four.
    needed = 3 if "test" in splits or "validation" in splits else 4
    _check_classes(name, classes)
    if "test" not in splits:
        if "validation" in splits:
            splits = {**splits, "test": splits["validation"]}
            notes.append(
                "the test split is the validation split, on which the best epoch was chosen"
            )
        else:
            held, kept = stratified(train.labels, test, seed)
            splits = {**splits, "test": train.take(held)}
            train = train.take(kept)
            notes.append(f"{test:.0%} held out for the test, stratified, seed {seed}")
    if "validation" not in splits:
        held, kept = stratified(train.labels, validation, seed + 1)
        splits = {**splits, "validation": train.take(held)}
        train = train.take(kept)
        notes.append(f"{validation:.0%} of train {FOR_VALIDATION}, stratified, seed {seed}")
    for split in ("validation", "test"):
        if not len(splits[split]):
            raise UserError(
                f"{name}: the {split} split is empty, because no class has enough images. "
                f"Expected at least {needed} images in each class."
            )
    return ImageSet(name, tuple(classes), train, splits["validation"], splits["test"], tuple(notes))


def _check_classes(name: str, classes: Sequence[str]) -> None:
    if len(classes) == 1:
        raise UserError(
            f"{name}: expected at least 2 classes, received {list(classes)}. "
            "Each class is a folder."
        )
    for label in classes:
        if not Line()(label):
            raise UserError(f"{name}: expected class names {Line()}, received {label!r}.")


def stratified(labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Chooses `share` of each class.

    Where an image shows several classes, the rarest are served first and the others with what they
    lack then: in the manner of Sechidis et al., "On the Stratification of Multi-label Data" (2011).

    Args:
        labels: int `(n,)`, or uint8 `(n, classes)`; see `Split.labels`.
        share: 0 to 1; of a class of m examples, `round(share * m)` are chosen, at least one if the
            class has three or more, and never all. With several classes to an image, that is aimed
            at.
        seed: seed of the choice.

    Returns:
        Positions of the chosen and of the other examples, each ascending.
    """
    random = np.random.default_rng(seed)
    chosen, decided = np.zeros(len(labels), bool), np.zeros(len(labels), bool)
    for members in _groups(labels):
        count = round(share * len(members))
        if len(members) >= 3:
            count = min(max(count, 1), len(members) - 1)
        lacking = max(count - chosen[members].sum(), 0)
        chosen[random.permutation(members[~decided[members]])[:lacking]] = True
        decided[members] = True
    return np.flatnonzero(chosen), np.flatnonzero(~chosen)


def _groups(labels: np.ndarray) -> Iterator[np.ndarray]:
    """Positions of the examples of each class that occurs, and of those of none."""
    if labels.ndim == 1:
        yield from (np.flatnonzero(labels == label) for label in np.unique(labels))
        return
    counts = labels.sum(axis=0, dtype="int64")
    for label in np.argsort(counts, kind="stable"):
        yield np.flatnonzero(labels[:, label])
    yield np.flatnonzero(~labels.any(axis=1))
