# SPDX-License-Identifier: MIT
"""Every recipe, and what `--set`, `--config` and JSON make of one."""

import dataclasses
import json
import re

import hypothesis
import pytest
from hypothesis import strategies as st

from keras_vit import UserError, recipes


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe(name):
    recipe = recipes.get(name)
    assert recipe.name == name
    assert recipes.describe(name).endswith(".")
    assert recipes.from_dict(json.loads(json.dumps(recipes.to_dict(recipe)))) == recipe
    small = recipes.debug(recipe)
    if recipe.model is not None:
        # Apart from what the size and number of images decides: positions, projection, head.
        body = dataclasses.replace(small.model, image_size=small.model.patch_size, num_classes=10)
        assert body.num_parameters < 60_000
    assert (small.epochs, small.steps) == (2, None)
    assert small.data == dataclasses.replace(recipe.data, limit=64)


def test_run_folders_of_old_have_a_warm_up_in_epochs():
    values = json.loads(json.dumps(recipes.to_dict(recipes.get("digits"))))
    del values["schedule"]["warmup"]
    values["schedule"]["warmup_epochs"] = 5.0
    assert recipes.from_dict(values).schedule.warmup == "5.0 epochs"


def test_override_of_fields_that_may_be_none_or_pairs():
    changed = recipes.override(
        recipes.get("finetune"),
        "image_size=96",
        "schedule.warmup=0.1",
        "optimizer.learning_rate_factors=(('head', 10),)",
        "objective.class_weights=(1, 2.5)",
        "init=runs/a-1",
    )
    assert changed.image_size == (96, 96)
    assert changed.schedule.warmup == "0.1"
    assert changed.optimizer.learning_rate_factors == (("head", 10.0),)
    assert changed.objective.class_weights == (1.0, 2.5)
    assert recipes.override(changed, "objective.class_weights=balanced", "init=none").init is None
    chosen = recipes.override(recipes.get("finetune"), "model=S/16", "model.depth=6")
    assert (chosen.model.width, chosen.model.depth) == (384, 6)
    assert recipes.override(chosen, "model=none") == recipes.get("finetune")


def test_merge_gives_a_model_where_there_was_none():
    recipe = recipes.get("finetune")
    values = json.loads(json.dumps(recipes.to_dict(recipes.get("digits"))))
    assert recipes.merge(recipe, {"model": values["model"]}).model == recipes.get("digits").model
    assert recipes.merge(recipe, {"model": None, "steps": 5}).model is None


def test_explain():
    recipe = recipes.get("digits")
    merged = recipes.override(recipe, "epochs=3", "batch_size=8")
    final = recipes.override(merged, "batch_size=16")
    rows = recipes.explain(recipe, ("--config", merged), ("--set", final))
    origins = {name: (value, origin) for name, value, origin in rows}
    assert origins["epochs"] == ("3", "--config")
    assert origins["batch_size"] == ("16", "--set")
    assert origins["model.width"] == ("64", "recipe")
    assert origins["model.qk_norm"] == ("False", "default")
    assert origins["optimizer.learning_rate"] == ("0.002", "recipe")
    assert origins["optimizer.beta_1"] == ("None", "default")


def test_a_run_ends_with_its_epochs_or_its_steps():
    recipe = dataclasses.replace(recipes.get("digits"), epochs=100, steps=500)
    assert recipe.epochs_of(1) == 100
    assert recipe.epochs_of(20) == 25
    assert recipe.epochs_of(5_000) == 1


def test_the_notebook_s_shape():
    model = recipes.get("cifar10_seed").model
    assert model.num_parameters == 119_194  # 119,098 and a final LayerNorm
    assert (model.patch_size, model.width, model.depth, model.num_heads) == ((4, 4), 48, 4, 4)


def test_override():
    recipe = recipes.get("digits")
    changed = recipes.override(
        recipe,
        "epochs=2",
        "optimizer.learning_rate=1e-3",
        "optimizer.clip_norm=none",
        "augmentation.flip=true",
        "augmentation.policy=randaugment",
        "augmentation.magnitude_std=0.5",
        "model.image_size=(12, 16)",
        "data.source=tfds:mnist",
        "batch_size=1e2",
    )
    assert changed.epochs == 2
    assert changed.optimizer.learning_rate == 1e-3
    assert changed.optimizer.clip_norm is None
    assert changed.augmentation.flip is True
    assert (changed.augmentation.policy, changed.augmentation.magnitude_std) == ("randaugment", 0.5)
    assert changed.model.image_size == (12, 16)
    assert changed.data.source == "tfds:mnist"
    assert changed.batch_size == 100
    assert recipe == recipes.get("digits")


def test_a_published_size_keeps_the_images():
    recipe = recipes.override(recipes.get("cifar10_seed"), "model=Ti/8")
    before = recipes.get("cifar10_seed").model
    assert recipe.model.width == 192
    assert recipe.model.patch_size == (8, 8)
    assert recipe.model.image_size == before.image_size
    assert recipe.model.pixel_mean == before.pixel_mean


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("epochs", "NAME=VALUE"),
        ("epoch=2", "Did you mean epochs"),
        ("optimizer.learning_rat=1", "Did you mean optimizer.learning_rate"),
        ("epochs=two", "epochs: expected a whole number or nothing, received 'two'"),
        ("epochs=2.5", "expected a whole number"),
        ("epochs=true", "expected a whole number"),
        ("epochs=0", "from 1"),
        ("augmentation.flip=1", "expected true or false"),
        ("optimizer.ema=often", "expected a number or nothing"),
        ("optimizer=adam", "has fields of its own"),
        ("epochs.x=1", "no fields of its own"),
        ("augmentation.crop=center", "unknown augmentation.crop"),
        ("augmentation.policy=randaug", "Did you mean randaugment"),
        ("augmentation.mixup_form=timm", r"unknown augmentation\.mixup_form"),
        ("augmentation.interpolation=cubic", r"Did you mean bicubic"),
        ("augmentation.erasing=2", "erasing: expected a number from 0 to 1"),
        ("augmentation.repeats=0", "repeats: expected a number from 1"),
        ("augmentation.magnitude=strong", "augmentation.magnitude: expected a number"),
        ("data.cache=disk", r"unknown data\.cache"),
        ("model=S16", "Did you mean S/16"),
        ("model.num_heads=5", "divisor"),
        ("data.test=2", "0.01 to 0.9"),
        ("accumulate=3", "divisor of batch_size=64"),
        ("image_size=8", "goes with model=none"),
        ("name=two\nlines", "name: expected text of one line"),
        (f"name={'x' * 1001}", "of length 1 to 1,000"),
        ("seed=-1", "seed: expected a number from 0 to 4294967295, received -1"),
        ("model.width=1000000000039", "width: expected a number from 1 to 65536"),
        ("model.dropout=x", "dropout: expected a number, received 'x'"),
        ("model.resnet_stages=5", r"resnet_stages: expected a list \[a whole number"),
        (
            "optimizer.learning_rate=nan",
            "learning_rate: expected a number or nothing, received 'nan'",
        ),
        ("optimizer.learning_rate=1e999", "learning_rate: expected a number from 0 to 1000"),
        ("objective.class_weights=('a', 2)", r"class_weights: \[0\]: expected a number"),
        ("schedule.warmup=9e99 epochs", "schedule.warmup: expected a length"),
        ("optimizer.clip_norm=0", "optimizer.clip_norm: expected a number from 1e-09"),
    ],
)
def test_a_wrong_override_helps(assignment, message):
    with pytest.raises(UserError, match=message):
        recipes.override(recipes.get("digits"), assignment)


def test_a_model_that_is_chosen_later_has_no_fields_yet():
    finetune = recipes.get("finetune")
    with pytest.raises(UserError, match=r"by the images. Name one before, as in --set model=S/16"):
        recipes.override(finetune, "model.depth=6")
    with pytest.raises(UserError, match=r"Did you mean model\.depth"):
        recipes.override(finetune, "model.depht=6")
    with pytest.raises(UserError, match=r"model.depth: expected a whole number"):
        recipes.override(finetune, "model.depth=six")
    assert recipes.override(finetune, "model=S/16", "model.depth=6").model.depth == 6


def test_fields_that_belong_together_may_come_in_any_order():
    digits = recipes.get("digits")
    for assignments in (
        ("model.width=100", "model.num_heads=10"),
        ("model.num_heads=10", "model.width=100"),
    ):
        model = recipes.override(digits, *assignments).model
        assert (model.width, model.num_heads) == (100, 10)


def test_every_number_has_bounds():
    """Without them, NaN, infinity and sizes that never end would pass."""
    unbounded, seen = [], set()
    for recipe in map(recipes.get, recipes.names()):
        for name, kind in _numbers(recipe):
            field = type(recipe.objective), name, kind  # bounds belong to it, in every recipe
            if field in seen:
                continue
            seen.add(field)
            for wrong in (float("nan"), -1e300, 1e300):
                wrong = wrong if "float" in kind else 10**300 if wrong > 0 else -(10**300)
                try:
                    recipes.override(recipe, f"{name}={wrong}")
                    unbounded.append(name)
                except UserError:
                    pass
    assert not unbounded


_VALUES = st.one_of(
    st.text(max_size=30),
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(["()", "none", "true", "(1, 2)", "[[1]]", "[" * 9999, "-" * 9999, "9" * 9999]),
    st.sampled_from(["1e999", "{}", "(('.', 1e999),)", "(((", "\ud800", "\0", "9" * 400, "S/16"]),
    st.recursive(st.integers() | st.floats() | st.text(max_size=5), st.lists).map(str),
)


@pytest.mark.slow
@hypothesis.settings(max_examples=300)
@hypothesis.given(st.data())
def test_no_value_of_many_gives_a_traceback_or_a_hang(data):
    assert_a_recipe_or_one_line(data)


@hypothesis.settings(max_examples=100)
@hypothesis.given(st.data())
def test_no_value_gives_a_traceback_or_a_hang(data):
    assert_a_recipe_or_one_line(data)


def assert_a_recipe_or_one_line(data):
    """The answer to any --set, and to any JSON, is a recipe that can be counted, or one line."""
    recipe = recipes.get(data.draw(st.sampled_from(["digits", "finetune", "deit_distilled"])))
    names = [name for name, _, _ in recipes.explain(recipe)]
    chosen = data.draw(st.lists(st.tuples(st.sampled_from(names), _VALUES), min_size=1, max_size=3))
    for change in (
        lambda: recipes.override(recipe, *(f"{name}={value}" for name, value in chosen)),
        lambda: recipes.from_dict(_nested(recipes.to_dict(recipe), chosen)),
        lambda: recipes.merge(recipe, _nested({}, chosen)),
    ):
        try:
            changed = change()
            if changed.model is not None:
                assert changed.model.num_parameters > 0 and changed.model.forward_flops() > 0
            recipes.debug(changed)
            str(changed.phases if changed.model and changed.epochs else "")
            json.dumps(recipes.to_dict(changed))
        except UserError as error:
            assert len(str(error)) < 3000


def _nested(values, assignments):
    """Those of `to_dict` with what JSON would hold of the assignments."""
    for name, text in assignments:
        *outer, last = name.split(".")
        node = values
        for part in outer:
            node[part] = node.get(part) if isinstance(node.get(part), dict) else {}
            node = node[part]
        try:
            node[last] = json.loads(text)
        except (ValueError, RecursionError):
            node[last] = text
    return values


def _numbers(node, prefix=""):
    for field in dataclasses.fields(node):
        value = getattr(node, field.name)
        if dataclasses.is_dataclass(value):
            yield from _numbers(value, f"{prefix}{field.name}.")
        elif {"int", "float"} & set(re.findall(r"\w+", str(field.type))):
            yield prefix + field.name, str(field.type)


def test_unknown_names_help():
    with pytest.raises(UserError, match="Did you mean digits"):
        recipes.get("digit")
    with pytest.raises(UserError, match=r"Did you mean data\.source"):
        recipes.from_dict({**recipes.to_dict(recipes.get("digits")), "data": {"sourc": "x"}})


def test_recipes_are_values():
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipes.get("digits").epochs = 3


def test_merge_takes_the_fields_that_are_given():
    merged = recipes.merge(recipes.get("digits"), {"epochs": 3, "model": {"pixel_std": [0.2]}})
    assert (merged.epochs, merged.model.pixel_std, merged.model.depth) == (3, (0.2,), 4)
    assert recipes.merge(merged, json.loads(json.dumps(recipes.to_dict(merged)))) == merged
    for wrong, message in (
        ({"model": {"dept": 3}}, "Did you mean model.depth"),
        ({"epoch": 3}, "Did you mean epochs"),
        ({"epochs": "many"}, "epochs: expected a whole number"),
        ({"model": 3}, "model: expected its fields"),
    ):
        with pytest.raises(UserError, match=message):
            recipes.merge(merged, wrong)
