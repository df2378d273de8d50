# SPDX-License-Identifier: MIT
"""How fast images come out of the pipeline, stage by stage."""

import dataclasses
import time
from collections.abc import Iterator

import tensorflow as tf

from keras_vit.data.dataset import Arrays, Split
from keras_vit.data.pipeline.batches import training_batches
from keras_vit.data.pipeline.parallel import ahead, mapped
from keras_vit.data.pipeline.reading import contents_reader
from keras_vit.progress import step
from keras_vit.recipes import Recipe

_EPOCHS = 10**6  # more than a measurement can use


@dataclasses.dataclass(frozen=True)
class Stage:
    """The pipeline from its beginning up to one of its stages.

    Attributes:
        name: of the last stage.
        images_per_second: images that came out, by the clock.
        cpu_ms: CPU time for an image, in milliseconds, of all threads.
        added_cpu_ms: the same, less that of the row before: what the last stage costs.
        cores: CPU time over time by the clock.
    """

    name: str
    images_per_second: float
    cpu_ms: float
    added_cpu_ms: float
    cores: float


def time_pipeline(split: Split, recipe: Recipe, seconds: float) -> list[Stage]:
    """Runs growing parts of a recipe's training pipeline.

    Args:
        split: what to train on.
        recipe: its model's image size and channels, batch size, seed and augmentation count.
        seconds: how long each part is run, after its first batch.

    Returns:
        The stages in sequence; "cached" repeats the last one with images in memory, as
        `recipe.data.cache` has it.
    """
    stages, before = [], 0.0
    for name, dataset, batch_size in _parts(split, recipe):
        with step(f"timing the stage {name}"):
            images, wall, cpu = _run(dataset, batch_size, seconds)
        cpu_ms = 1000 * cpu / images
        stages.append(Stage(name, images / wall, cpu_ms, cpu_ms - before, cpu / wall))
        before = cpu_ms
    return stages


def _parts(split: Split, recipe: Recipe) -> Iterator[tuple[str, tf.data.Dataset, int]]:
    """Names, data sets and their batch sizes, each with one stage more than the one before."""
    batch_size = min(recipe.batch_size, len(split))
    if not isinstance(split, Arrays):
        indices = tf.data.Dataset.range(len(split)).repeat()
        contents = mapped(indices, contents_reader(split))
        yield "read", ahead(contents.batch(batch_size)), batch_size

    def batches(plan, cache="none"):
        options = (split, recipe.model.num_classes, recipe.preprocessing, batch_size, _EPOCHS)
        return training_batches(*options, recipe.seed, plan, cache)[0]

    plan, none = recipe.augmentation, type(recipe.augmentation)()
    current = dataclasses.replace(
        none, crop=plan.crop, pad=plan.pad, min_area=plan.min_area, interpolation=plan.interpolation
    )
    yield "decode, crop, batch", batches(current), batch_size
    groups = {
        "flip": ("flip",),
        plan.policy: ("policy", "layers", "magnitude", "magnitude_std", "increasing", "op_prob"),
        "color jitter": ("color_jitter",),
        "erasing": ("erasing",),
        "mix": ("mixup", "mixup_form", "cutmix", "mix_prob", "switch_prob"),
        "repeats": ("repeats",),
    }
    for name, fields in groups.items():
        grown = dataclasses.replace(current, **{field: getattr(plan, field) for field in fields})
        if getattr(plan, fields[0]) != getattr(none, fields[0]) or (name == "mix" and plan.cutmix):
            yield name, batches(grown), batch_size
        current = grown
    if recipe.data.cache != "none":
        yield "cached", batches(plan, recipe.data.cache), batch_size


def _run(dataset: tf.data.Dataset, batch_size: int, seconds: float) -> tuple[int, float, float]:
    """Number of images, seconds by the clock and CPU seconds."""
    batches = iter(dataset)
    next(batches)  # traces, starts the threads, fills the buffers
    wall, cpu = time.perf_counter(), time.process_time()
    count = 0
    while True:
        next(batches)
        count += 1
        if time.perf_counter() - wall >= seconds:
            return count * batch_size, time.perf_counter() - wall, time.process_time() - cpu
