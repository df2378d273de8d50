# SPDX-License-Identifier: MIT
"""The published recipes: numbers of the papers in a table of their own, against what a run does."""

import dataclasses
import functools
import math

import numpy as np
import pytest

from keras_vit import recipes, vit
from keras_vit.data import from_arrays, training_batches
from keras_vit.preprocessing import Preprocessing
from keras_vit.recipes.augreg import BEST, LEVELS, at_level
from keras_vit.training.optimizers import make_optimizer, scales_of
from keras_vit.training.schedules import make_schedule
from tests.contracts import slow_but, to_numpy

IMAGENET, IMAGENET21K, CIFAR = 1_281_167, 14_197_122, 50_000


@dataclasses.dataclass(frozen=True)
class Paper:
    """What a publication says."""

    optimizer: str
    batch: int
    epochs: int
    peak: float
    decay: float  # as AdamW of Keras and PyTorch has it: times the rate
    clip: float | None
    kind: str
    warmup: float  # steps, or epochs below 100
    parameters: int  # at 1,000 classes, or those of the recipe
    images: int = IMAGENET
    last: float = 0.0  # rate at the end
    first: float = 0.0  # rate of the first step
    overlap: bool = False
    ema: float | None = None
    smoothing: float = 0.0
    loss: str | None = "softmax"  # None: neither of them alone
    dropout: float = 0.0
    stochastic_depth: float = 0.0
    min_area: float | None = 0.05  # None: padded crops
    mixup: float = 0.0
    rand_augment: tuple[float, ...] = ()  # layers, magnitude, its deviation, chance of each
    decays_all: bool = False
    betas: tuple[float, float] = (0.9, 0.999)


S16, S16_PLAIN, B16 = 22_050_664, 21_974_632, 86_567_656
AUGREG = Paper(
    *("adamw", 4096, 300, 1e-3, 0.1, 1.0, "cosine", 10_000, S16), loss="sigmoid", min_area=0.05
)
DEIT = Paper(
    *("adamw", 1024, 300, 1e-3, 0.05, None, "cosine", 5, S16),
    last=1e-5,
    first=1e-6,
    overlap=True,
    ema=0.99996,
    smoothing=0.1,
    stochastic_depth=0.1,
    min_area=0.08,
    mixup=0.8,
    rand_augment=(2, 9, 0.5, 0.5),
)
PLAIN = Paper(
    *("adamw", 1024, 90, 1e-3, 0.1, 1.0, "cosine", 10_000, S16_PLAIN),
    mixup=0.2,
    rand_augment=(2, 10, 0, 1),
)
change = dataclasses.replace
PAPERS = {
    "paper_imagenet": Paper(
        # 86,567,656 and a tanh layer of 768 * 769.
        *("adamw", 4096, 300, 3e-3, 0.3, 1.0, "cosine", 10_000, B16 + 768 * 769),
        dropout=0.1,
    ),
    "paper_imagenet21k": Paper(
        *("adamw", 4096, 90, 1e-3, 0.03, None, "linear", 10_000, 103_186_515, IMAGENET21K),
        last=1e-5,
        dropout=0.1,
        loss="sigmoid",
    ),
    "augreg": change(AUGREG, mixup=0.5, rand_augment=(2, 15, 0, 1)),
    "augreg_none": AUGREG,
    "augreg_light1": change(AUGREG, rand_augment=(2, 0, 0, 1)),
    "augreg_light2": change(AUGREG, mixup=0.2, rand_augment=(2, 10, 0, 1)),
    "augreg_medium1": change(AUGREG, mixup=0.2, rand_augment=(2, 15, 0, 1)),
    "augreg_medium2": change(AUGREG, mixup=0.5, rand_augment=(2, 15, 0, 1)),
    "augreg_strong1": change(AUGREG, mixup=0.5, rand_augment=(2, 20, 0, 1)),
    "augreg_strong2": change(AUGREG, mixup=0.8, rand_augment=(2, 20, 0, 1)),
    "deit_tiny": change(DEIT, parameters=5_717_416),
    "deit_small": DEIT,
    "deit_base": change(DEIT, parameters=B16),
    # The distillation token and its position, and a second head of 385 * 1,000.
    "deit_distilled": change(DEIT, parameters=S16 + 2 * 384 + 385 * 1000, loss=None),
    "masked_autoencoder": Paper(
        # Without a head and without the 197 positions, which are fixed.
        *("adamw", 4096, 800, 2.4e-3, 0.05, None, "cosine", 40, 85_798_656 - 197 * 768),
        loss=None,
        min_area=0.2,
        betas=(0.9, 0.95),
    ),
    "plain_s16_90": PLAIN,
    "plain_s16_150": change(PLAIN, epochs=150),
    "plain_s16_300": change(PLAIN, epochs=300),
    "vit_cifar": Paper(
        *("adam", 128, 200, 1e-3, 5e-5, None, "cosine", 5, 6_268_810, CIFAR),
        last=1e-5,
        smoothing=0.1 * 10 / 9,
        min_area=None,
        decays_all=True,
    ),
    "paper_finetune": Paper(
        # 86,090,496 of the backbone at 384 pixels and 7,690 of the head.
        *("sgd", 512, 105, 0.01, 0.0, 1.0, "cosine", 500, 86_098_186, 49_000),
    ),
}
OWN = {
    *("digits", "cifar10_seed", "cifar10_fast"),
    *("finetune", "linear_probe", "masked_autoencoder_small"),
}


def test_every_recipe_is_published_or_our_own():
    assert set(recipes.names()) == set(PAPERS) | OWN


@pytest.mark.parametrize("name", PAPERS)
def test_learning_rate(name):
    recipe, paper = recipes.get(name), PAPERS[name]
    steps_per_epoch = paper.images // recipe.batch_size
    epochs = recipe.epochs_of(steps_per_epoch)
    assert (recipe.batch_size, epochs) == (paper.batch, paper.epochs)
    schedule = make_schedule(
        recipe.schedule, recipe.optimizer.learning_rate, steps_per_epoch, epochs
    )
    total = steps_per_epoch * epochs
    warmup = paper.warmup if paper.warmup >= 100 else paper.warmup * steps_per_epoch

    def at(step):
        if step < warmup:
            return paper.first + (paper.peak - paper.first) * step / warmup
        begins = 0 if paper.overlap else warmup
        progress = (step - begins) / (total - begins)
        progress = 0.5 - 0.5 * math.cos(math.pi * progress) if paper.kind == "cosine" else progress
        return paper.peak + (paper.last - paper.peak) * progress

    for step in (0, warmup // 2, warmup, total // 2, total - 1, total):
        # float32 counts steps and cosines to 1e-7, and the rate is a difference of them.
        assert float(to_numpy(schedule(step))) == pytest.approx(at(step), abs=1e-6 * paper.peak)


@functools.cache  # many recipes have the same small model
def variables_of(config):
    return vit(config).trainable_variables


@pytest.mark.parametrize("name", slow_but(list(PAPERS)[::2], PAPERS))
def test_optimizer(name):
    recipe, paper = recipes.get(name), PAPERS[name]
    variables = variables_of(recipes.debug(recipe).model)
    optimizer = make_optimizer(recipe.optimizer, 1.0, variables)
    assert recipe.optimizer.name == paper.optimizer
    assert optimizer.global_clipnorm == paper.clip
    assert (optimizer.ema_momentum if optimizer.use_ema else None) == paper.ema
    if paper.optimizer == "sgd":
        assert (optimizer.momentum, optimizer.nesterov) == (0.9, False)
    else:
        assert (optimizer.beta_1, optimizer.beta_2) == paper.betas
        assert optimizer.epsilon == 1e-8
    scales = scales_of(recipe.optimizer, [v.path for v in variables])
    for v in variables:
        decays = paper.decays_all or v.path.endswith("/kernel")
        assert scales[v.path] == (1.0, paper.decay if decays else 0.0), v.path


@pytest.mark.parametrize("name", PAPERS)
def test_model_and_loss(name):
    recipe, paper = recipes.get(name), PAPERS[name]
    config, objective = recipe.model, recipe.objective
    assert config.num_parameters == paper.parameters
    assert (config.dropout, config.stochastic_depth) == (paper.dropout, paper.stochastic_depth)
    assert config.attention_dropout == 0
    if paper.loss is not None:
        assert (objective.loss, objective.label_smoothing) == (paper.loss, paper.smoothing)


def test_deit_distilled_learns_from_both_heads_alike():
    objective = recipes.get("deit_distilled").objective
    assert (objective.hard, objective.alpha, objective.label_smoothing) == (True, 0.5, 0.1)


@pytest.mark.parametrize("name", PAPERS)
def test_augmentation(name):
    recipe, paper = recipes.get(name), PAPERS[name]
    plan = recipe.augmentation
    assert plan.flip and plan.mixup == paper.mixup
    assert (plan.crop, plan.min_area) == ("inception", paper.min_area) or (
        paper.min_area is None and (plan.crop, plan.pad) == ("pad", 4)
    )
    if paper.rand_augment:
        strength = (plan.layers, plan.magnitude, plan.magnitude_std, plan.op_prob)
        assert (plan.policy, strength) == ("randaugment", paper.rand_augment)
    else:
        assert plan.policy == ("autoaugment" if name == "vit_cifar" else "none")


@pytest.mark.parametrize(
    "name",
    slow_but(
        ["paper_imagenet", "deit_small"], ["paper_imagenet", "augreg", "deit_small", "vit_cifar"]
    ),
)
def test_pipeline(name):
    """What comes out: pixels that have been moved, labels that are mixed as the paper says."""
    plan = recipes.get(name).augmentation
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (64, 8, 8, 3)).astype("uint8")
    images = from_arrays(pixels, np.arange(64) % 4, list("abcd"))
    batches, _ = training_batches(images.train, 4, Preprocessing((8, 8)), 8, 8, 0, plan)
    batches = list(batches.as_numpy_iterator())
    assert all(images.shape == (8, 8, 8, 3) for images, _ in batches)
    labels = np.concatenate([labels for _, labels in batches])
    # Without mixing every label is whole; with it, hardly any share is.
    assert (labels.max(axis=1) < 0.999).any() == (PAPERS[name].mixup > 0)
    np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-6)


def test_deit_s_other_augmentation():
    """main.py's defaults; timm leaves its color jitter out beside a policy."""
    plan = recipes.get("deit_small").augmentation
    assert (plan.increasing, plan.color_jitter, plan.erasing) == (True, 0.0, 0.25)
    assert (plan.cutmix, plan.switch_prob, plan.mix_prob) == (1.0, 0.5, 1.0)
    assert (plan.mixup_form, plan.repeats, plan.interpolation) == ("deit", 3, "bicubic")


def test_levels_of_augreg():
    """RandAugment (layers, magnitude) and MixUp of each, and what was best on ImageNet."""
    assert LEVELS == {
        "none": (0, 0, 0.0),
        "light1": (2, 0, 0.0),
        "light2": (2, 10, 0.2),
        "medium1": (2, 15, 0.2),
        "medium2": (2, 15, 0.5),
        "strong1": (2, 20, 0.5),
        "strong2": (2, 20, 0.8),
    }
    assert BEST["Ti/16"] == "light1" and BEST["L/16"] == "medium2"
    assert at_level("light1", "Ti/16").model.num_parameters == 5_717_416


def test_heads_start_where_the_papers_say():
    assert recipes.get("paper_imagenet21k").model.head_bias == -10.0
    assert recipes.get("augreg").model.head_bias == -6.9
    plain = recipes.get("plain_s16_90").model
    assert (plain.position, plain.pool, plain.class_token) == ("sincos2d", "average", False)
