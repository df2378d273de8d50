# SPDX-License-Identifier: MIT
"""How fast images come out of the pipeline, stage by stage, and what each operation costs."""

import dataclasses
import time
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from keras_vit.data.dataset import Arrays, Split
from keras_vit.data.pipeline.augmentation.boxes import inception_box
from keras_vit.data.pipeline.augmentation.policies import applier, policy
from keras_vit.data.pipeline.batches import training_batches
from keras_vit.data.pipeline.parallel import ahead, mapped, untuned
from keras_vit.data.pipeline.reading import contents_reader, reader
from keras_vit.progress import step
from keras_vit.recipes import Recipe

_EPOCHS = 10**6  # more than a measurement can use
_DRAWS = 1000  # of a policy, to see how often it takes each operation
_SHARE = 0.1  # of the seconds of a stage, for an operation
_AT_A_TIME = 16  # images that an operation is applied to between two looks at the clock


@dataclasses.dataclass(frozen=True)
class Stage:
    """The pipeline from its beginning up to one of its stages, or an operation of its policy.

    Attributes:
        name: of the last stage, or of a policy and its operation with a colon.
        images_per_second: images that came out, by the clock.
        cpu_ms: CPU time for an image, in milliseconds, of all threads.
        added_cpu_ms: the same, less that of the row before: what the last stage costs. For an
            operation, `cpu_ms` times how often an image undergoes it: its part in the policy.
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
        seconds: how long each part is run, after its first batch; an operation a tenth of that.

    Returns:
        The stages in sequence; "cached" repeats the last one with images in memory, as
        `recipe.data.cache` has it. Then the operations of the policy, each alone.
    """
    stages, before = [], 0.0
    for name, dataset, batch_size in _parts(split, recipe):
        with step(f"timing the stage {name}"):
            images, wall, cpu = _run(dataset, batch_size, seconds)
        cpu_ms = 1000 * cpu / images
        stages.append(Stage(name, images / wall, cpu_ms, cpu_ms - before, cpu / wall))
        before = cpu_ms
    if recipe.augmentation.policy != "none":
        stages += _operations(recipe, seconds * _SHARE)
    return stages


def _parts(split: Split, recipe: Recipe) -> Iterator[tuple[str, tf.data.Dataset, int]]:
    """Names, data sets and their batch sizes, each with one stage more than the one before."""
    batch_size = min(recipe.batch_size, len(split))
    if not isinstance(split, Arrays):
        indices = tf.data.Dataset.range(len(split)).repeat()
        contents = mapped(indices, contents_reader(split))
        yield "read", ahead(contents.batch(batch_size)), batch_size
        decoded = mapped(indices, _decoder(split, recipe))
        yield "decode", ahead(decoded.batch(batch_size)), batch_size

    def batches(plan, cache="none"):
        options = (split, recipe.model.num_classes, recipe.preprocessing, batch_size, _EPOCHS)
        return training_batches(*options, recipe.seed, plan, cache)[0]

    plan, none = recipe.augmentation, type(recipe.augmentation)()
    current = dataclasses.replace(
        none, crop=plan.crop, pad=plan.pad, min_area=plan.min_area, interpolation=plan.interpolation
    )
    yield "crop, resize, batch", batches(current), batch_size
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


def _decoder(split: Split, recipe: Recipe):
    """Makes the function from an index to the shape of what is decoded of an image."""
    plan, size = recipe.augmentation, recipe.preprocessing.image_size
    read = reader(split, recipe.preprocessing.channels)

    @tf.autograph.experimental.do_not_convert
    def shape(index):
        if plan.crop != "inception":
            return tf.shape(read(index))
        seed = tf.stack([recipe.seed, tf.cast(index, tf.int32)])
        return tf.shape(read(index, lambda sides: inception_box(sides, plan.min_area, seed), size))

    return shape


def _operations(recipe: Recipe, seconds: float) -> list[Stage]:
    """What each operation of a policy costs, on an image of noise; what costs the most in the
    policy comes first."""
    plan, shape = recipe.augmentation, recipe.preprocessing.shape
    names, draw = policy(plan, shape[:2])
    apply = applier(names, shape)
    seeds = tf.stack([tf.fill([_DRAWS], recipe.seed), tf.range(_DRAWS)], 1)
    drawn = mapped(tf.data.Dataset.from_tensor_slices(seeds), draw).batch(_DRAWS)
    # (draws, layers), (draws, layers), (draws, layers, 2)
    choices, arguments, places = (x.numpy() for x in untuned(drawn).get_single_element())
    image = tf.constant(np.random.default_rng(0).integers(0, 256, shape).astype("uint8"))
    stages = []
    for i, name in enumerate(names):
        times = choices == i
        if name == "identity" or not times.any():
            continue
        settings = image, i, arguments[times][0], places[times][0]
        with step(f"timing the operation {name}"):
            images, wall, cpu = _run(_repeated(apply, settings), _AT_A_TIME, seconds)
        cpu_ms, share = 1000 * cpu / images, times.sum() / _DRAWS
        row = Stage(f"{plan.policy}: {name}", images / wall, cpu_ms, share * cpu_ms, cpu / wall)
        stages.append(row)
    return sorted(stages, key=lambda stage: -stage.added_cpu_ms)


def _repeated(apply, settings) -> tf.data.Dataset:
    """Batches of the first pixel of an image after one operation."""

    @tf.autograph.experimental.do_not_convert
    def first_pixel(_):
        return apply(*settings)[0, 0]

    images = mapped(tf.data.Dataset.range(1).repeat(), first_pixel)
    return ahead(images.batch(_AT_A_TIME))


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
