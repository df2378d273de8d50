# SPDX-License-Identifier: MIT
"""Every rule on a run that shows its symptom, and on runs that do not."""

import ast
import dataclasses
import json
import shlex

import pytest
from keras_vit.apps import cli
from keras_vit.apps import train as train_app

import keras_vit
from keras_vit import ViTConfig, recipes
from keras_vit.advice import Advice, RunFacts, advise
from keras_vit.advice.advise import MOST, RULES
from keras_vit.weights.catalog import catalog

RULE = {rule.__name__: rule for rule in RULES}
CLASSES = ("cat", "dog", "a b'c")


def history(val_loss, loss=None, accuracy=0.97, val_accuracy=0.97, **more):
    loss = loss or [value + 0.01 for value in val_loss]
    return tuple(
        {
            **{"epoch": float(epoch), "loss": trained, "accuracy": accuracy},
            **{"val_loss": validated, "val_accuracy": val_accuracy, **more},
        }
        for epoch, (trained, validated) in enumerate(zip(loss, val_loss, strict=True), 1)
    )


FLAT = [2.0, 1.0, 0.6, 0.5, 0.45, 0.42, 0.41, 0.405, 0.402, 0.401]
RISING = [2.0, 1.0, 0.6, 0.5, 0.5, 0.52, 0.55, 0.6, 0.65, 0.7]
LEARNED = [2.0, 1.0, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.05]
LITERT = {"format": "litert", "path": "export/model.tflite", "bytes": 88_000_000}


def recipe(*settings, init=None, name="finetune"):
    found = recipes.override(
        dataclasses.replace(recipes.get(name), model=ViTConfig.of("mu/16", num_classes=3)),
        *("epochs=10", "optimizer.learning_rate=5e-4", "data.source=my photos/"),
        *settings,
    )
    return dataclasses.replace(found, init=init)


FINE = RunFacts(
    folder="runs/my photos-1",
    recipe=recipe(),
    classes=CLASSES,
    train_counts=(200, 210, 190),
    validation=1_000,
    held_out=True,
    history=history(FLAT),
    best_epoch=10,
    top1=0.97,
    shown=(100, 100, 100),
    right=(97, 97, 97),
    exports=({**LITERT, "ms_per_image": 8.0},),
)
FEW = {"top1": 0.8, "right": (80, 80, 80)}
RARE = {"train_counts": (1_000, 1_000, 40), "shown": (100, 100, 20), "right": (97, 96, 12)}
HARD = history(FLAT, accuracy=0.6, val_accuracy=0.62)
PRETRAINED = recipe(init="S/16-augreg-i21k")


def changed(**changes) -> RunFacts:
    return dataclasses.replace(FINE, **changes)


# (rule, a run with the symptom, what has to be said, settings of the command)
SYMPTOMS = [
    ("misleading_images", {"misleading": ("3 images are in train and test.",)}, "3 images are", ""),
    ("few_images", FEW, "about 200 training images of a class, and names 80.0%", "Ti/16-augreg"),
    (
        "few_images",
        {**FEW, "cores": 16},
        "30 million parameters, licence Apache-2.0",
        "S/16-augreg",
    ),
    ("few_images", {**FEW, "gpu": True}, "Start from", "sbb-mediumd-in12k"),
    (
        "few_images",
        {**FEW, "recipe": recipe(init="drawn-mini")},
        "began with drawn-mini, which has seen drawn images alone, had about 200 training images",
        "Ti/16-augreg",
    ),
    (
        "few_images",
        {**FEW, "train_counts": (9, 10, 12)},
        "about 10 training images",
        "--recipe linear_probe --init dinov2-small-registers --set image_size=224",
    ),
    ("bad_updates", {"history": history(FLAT, skipped_updates=7.0)}, "7 updates", "=0.000167"),
    ("overfitting", {"history": history(RISING, LEARNED)}, "After epoch 4 of 10", "mixup=0.2"),
    (
        "overfitting",
        {
            "history": history(RISING, LEARNED),
            "recipe": recipe("augmentation.mixup=0.2", "model.channels=1"),
        },
        "training loss fell by 90%, and the validation loss rose by 40%",
        "model.dropout=0.1",
    ),
    (
        "overfitting",
        {
            "history": history(RISING, LEARNED),
            "recipe": recipe("augmentation.mixup=0.2", "model.channels=1", "model.dropout=0.1"),
        },
        "by heart",
        "optimizer.weight_decay=0.1",
    ),
    ("underfitting", {"history": HARD}, "60% of the training images", "model.width=64"),
    (
        "underfitting",
        {"history": HARD, "recipe": PRETRAINED},
        "Show 336 x 336 pixels",
        "--set 'model.image_size=(336,336)'",
    ),
    (
        "underfitting",
        {"history": HARD, "recipe": dataclasses.replace(PRETRAINED, lora=8)},
        "Train all weights",
        "--recipe finetune --init S/16-augreg-i21k",
    ),
    (
        "underfitting",
        {"history": HARD, "recipe": recipe("model.image_size=384", init="x.npz")},
        "Train for 20 epochs",
        "--set epochs=20 --set steps=none",
    ),
    (
        "still_falling",
        {"history": history([2 - 0.1 * epoch for epoch in range(10)])},
        "The validation loss fell by 15% in the last fifth of the 10 epochs",
        "--resume 'runs/my photos-1' --extend 5",
    ),
    (
        "still_falling",
        {
            "history": history([2 - 0.1 * epoch for epoch in range(10)]),
            "recipe": recipe("optimizer.ema=0.99"),
        },
        "Train for 5 epochs more",
        "--set epochs=15",
    ),
    ("imbalance", RARE, "1 of 3 classes", "--set objective.class_weights=balanced"),
    ("small_validation", {"validation": 9}, "9 validation images", "--set data.split_seed=1"),
    ("small_validation", {"validation": 9, "held_out": False}, "Add images", "evaluate"),
    ("weak_class", {"right": (97, 96, 60)}, "add about 190 training images to its 190", "evaluate"),
    (
        "weak_class",
        {"right": (97, 96, 60), "train_counts": (200, 210, 30)},
        "add about 175 training images to its 30 (the others have about 205)",
        "evaluate",
    ),
    (
        "slow_export",
        {"exports": ({**LITERT, "ms_per_image": 143.0},)},
        "takes 143 ms for an image on this machine, and is float32 (88 MB)",
        "--format litert --quantize auto --out 'runs/my photos-1-small'",
    ),
]
# (rule, a run that is near the symptom and does not show it)
NEAR = [
    ("few_images", {"top1": 0.96}),
    ("few_images", {**FEW, "recipe": PRETRAINED}),
    ("few_images", {**FEW, "train_counts": (5_000, 5_000, 5_000)}),
    ("few_images", {"top1": None, "shown": (), "right": ()}),
    ("bad_updates", {"history": history(FLAT, skipped_updates=0.0)}),
    ("overfitting", {"history": history(FLAT, LEARNED)}),
    ("overfitting", {"history": history(RISING, RISING)}),
    ("overfitting", {"history": history(RISING, LEARNED), "top1": 1.0}),
    ("underfitting", {"history": history(FLAT, accuracy=0.6, val_accuracy=0.9)}),  # mixed images
    ("underfitting", {"history": history([2 - 0.1 * e for e in range(10)], None, 0.6, 0.6)}),
    ("still_falling", {"history": history(RISING)}),
    ("still_falling", {"history": history([0.5])}),
    ("still_falling", {"history": history([2 - 0.1 * e for e in range(10)]), "top1": 1.0}),
    ("imbalance", {**RARE, "right": (97, 96, 19)}),
    ("imbalance", {**RARE, "train_counts": (1_000, 1_000, 300)}),
    ("imbalance", {**RARE, "recipe": recipe("objective.class_weights=balanced")}),
    ("small_validation", {"validation": 300}),
    ("small_validation", {"validation": 9, "history": ({"epoch": 10.0, "val_loss": 0.4},)}),
    ("weak_class", {"right": (97, 96, 88)}),
    ("weak_class", {"right": (97, 96, 1), "shown": (100, 100, 2)}),  # one of two may be chance
    ("weak_class", {"right": (40, 41, 2)}),
    ("slow_export", {"exports": ({**LITERT, "ms_per_image": 143.0, "quantize": "static_int8"},)}),
    ("slow_export", {"exports": ({**LITERT, "format": "saved_model", "ms_per_image": 143.0},)}),
    ("slow_export", {"exports": ()}),
]


def test_a_run_without_a_symptom_is_told_nothing():
    assert advise(FINE) == []


def test_every_rule_has_a_symptom_here():
    assert {name for name, *_ in SYMPTOMS} == set(RULE)


@pytest.mark.parametrize(("name", "changes", "said", "command"), SYMPTOMS)
def test_symptom(name, changes, said, command):
    advice = RULE[name](changed(**changes))
    assert isinstance(advice, Advice) and advice.rule == name
    assert said in f"{advice.evidence}. {advice.remedy}"
    assert command in advice.command
    assert advice in advise(changed(**changes))


@pytest.mark.parametrize(("name", "changes"), NEAR)
def test_no_symptom(name, changes):
    assert RULE[name](changed(**changes)) is None


@pytest.mark.parametrize(("name", "changes", "said", "command"), SYMPTOMS)
def test_the_command_is_one(name, changes, said, command, tmp_path):
    """The real parser takes it, and of a training the recipe that it asks for can be made."""
    facts = changed(**changes, folder=str(tmp_path))
    (tmp_path / "recipe.json").write_text(json.dumps(recipes.to_dict(facts.recipe)))
    _, command, *words = shlex.split(RULE[name](facts).command)
    args = cli.make_parser(command).parse_args(words)
    if command == "train" and not args.resume:
        asked = train_app._recipe(args)
        assert asked != facts.recipe and asked.data.source == facts.recipe.data.source
        assert asked.init is None or asked.init in catalog() or asked.init == facts.recipe.init


@pytest.mark.parametrize(("name", "changes", "said", "command"), SYMPTOMS)
def test_images_in_memory_are_named_by_python(name, changes, said, command):
    advice = RULE[name](changed(**changes, in_memory=True))
    if advice.command.startswith("keras-vit"):
        words = shlex.split(advice.command)
        assert words[1] in ("export", "audit")  # a file of images is not in memory
        return
    call = ast.parse(advice.command).body[0].value
    if "override" in advice.command:
        change = call.args[0]
        known = {"run": changed(**changes), "keras_vit": keras_vit}
        before = eval(ast.unparse(change.args[0]), known)
        settings = [ast.literal_eval(argument) for argument in change.args[1:]]
        assert recipes.override(before, *settings) != before


def test_at_most_four_and_the_first_matters_most():
    sick = changed(
        **{**RARE, "right": (80, 80, 2), "train_counts": (900, 900, 40)},
        validation=9,
        top1=0.7,
        misleading=("3 images are in train and test",),
        exports=({**LITERT, "ms_per_image": 143.0},),
        history=history(RISING, LEARNED, skipped_updates=2.0),
    )
    found = advise(sick)
    assert [advice.rule for advice in found] == [
        *("misleading_images", "few_images", "bad_updates", "overfitting")
    ]
    assert len(found) == MOST and sum(rule(sick) is not None for rule in RULES) > MOST


def test_another_recipe_sees_the_same_images():
    """In the same splits, with the same loss, and not mirrored where the run did not mirror."""
    plan = recipe("data.crop=0.9", "data.split_seed=3", "augmentation.flip=false")
    command = RULE["few_images"](changed(**FEW, recipe=plan)).command
    for setting in ("data.crop=0.9", "data.split_seed=3", "augmentation.flip=false"):
        assert f"--set {setting}" in command
    assert "--set" not in RULE["few_images"](changed(**FEW)).command


def test_named_checkpoints_are_free_and_small():
    """What is advised may be used by anybody, for anything, at once."""
    for changes in ({}, {"cores": 16}, {"gpu": True}, {"train_counts": (9, 9, 9)}):
        words = shlex.split(RULE["few_images"](changed(**FEW | changes)).command)
        entry = catalog()[words[words.index("--init") + 1]]
        assert not entry.gated and not entry.licence.restriction and entry.parameters < 1e8


def test_an_encoder_without_classes_is_told_of_its_loss_alone():
    plan = recipe(name="masked_autoencoder_small")
    rows = tuple({"epoch": e + 1.0, "loss": 2 - 0.1 * e, "val_loss": 2 - 0.1 * e} for e in range(9))
    blind = changed(
        **{"recipe": plan, "history": rows, "classes": (), "train_counts": (), "top1": None},
        **{"shown": (), "right": (), "exports": ()},
    )
    assert [advice.rule for advice in advise(blind)] == ["still_falling"]
