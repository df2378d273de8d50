# SPDX-License-Identifier: MIT
import dataclasses
import json

import keras
import numpy as np
import pytest

from keras_vit import UserError, ViTConfig, config_of, recipes, vit
from keras_vit.data import load
from keras_vit.export import to_tflite
from keras_vit.model_file import ModelFile
from keras_vit.recipes import Distill
from keras_vit.training import train
from keras_vit.training.objectives.distill import Distiller, imitation_loss, open_teacher
from tests.contracts import randomize, to_numpy

CLASSES = 3
CONFIG = ViTConfig(
    image_size=8,
    channels=1,
    num_classes=CLASSES,
    patch_size=4,
    width=16,
    depth=1,
    mlp_dim=32,
    num_heads=2,
    distillation_token=True,
)
random = np.random.default_rng(0)
IMAGES = random.integers(0, 256, (6, 8, 8, 1)).astype("float32")
LABELS = np.eye(CLASSES, dtype="float32")[random.integers(0, CLASSES, 6)]
TEACHER = random.normal(0, 2, (6, CLASSES)).astype("float32")


def log_softmax(x):
    x = x.astype("float64")
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def distiller(plan, **changes):
    student = vit(dataclasses.replace(CONFIG, **changes))
    randomize(student)
    return Distiller(student, lambda images: keras.ops.convert_to_tensor(TEACHER), plan)


def test_the_hard_loss_is_that_of_numpy():
    student = random.normal(size=(6, CLASSES)).astype("float32")
    expected = -log_softmax(student)[np.arange(6), TEACHER.argmax(axis=1)].mean()
    # float32 arithmetic: a few units in the seventh digit.
    assert float(imitation_loss(TEACHER, student, Distill())) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_soft_loss_is_that_of_numpy(temperature):
    student = random.normal(size=(6, CLASSES)).astype("float32")
    teacher, own = log_softmax(TEACHER / temperature), log_softmax(student / temperature)
    expected = temperature**2 * (np.exp(teacher) * (teacher - own)).sum(axis=1).mean()
    plan = Distill(hard=False, temperature=temperature)
    assert float(imitation_loss(TEACHER, student, plan)) == pytest.approx(expected, rel=1e-5)


def test_a_student_that_is_sure_of_the_wrong_class_still_learns():
    """Keras's own divergence clips at 1e-7 and gives the same loss for 50 as for 60."""
    teacher = np.array([[9.0, 0, 0]], "float32")
    at = [
        float(imitation_loss(teacher, np.array([[0, x, 0]], "float32"), Distill(hard=False)))
        for x in (50.0, 60.0)
    ]
    assert at[1] - at[0] == pytest.approx(10, rel=1e-2)  # the teacher's 0.9998 of it, in float32


def test_labels_and_teacher_are_weighted():
    model = distiller(Distill(alpha=0.3, label_smoothing=0.1))
    heads = model(IMAGES)
    smooth = LABELS * 0.9 + 0.1 / CLASSES
    label_loss = -(smooth * log_softmax(to_numpy(heads["head"]))).sum(axis=1).mean()
    own = log_softmax(to_numpy(heads["distillation_head"]))
    teacher_loss = -own[np.arange(6), TEACHER.argmax(axis=1)].mean()
    loss = float(model.compute_loss(IMAGES, LABELS, heads, training=True))
    assert loss == pytest.approx(0.7 * label_loss + 0.3 * teacher_loss, rel=1e-5)


def test_evaluation_averages_both_heads_and_asks_no_teacher():
    def nobody(images):
        raise AssertionError("the teacher was asked")

    model = distiller(Distill())
    model.ask_teacher = nobody
    heads = {name: to_numpy(value) for name, value in model(IMAGES).items()}
    mean = (heads["head"] + heads["distillation_head"]) / 2
    np.testing.assert_allclose(heads["logits"], mean, rtol=1e-6)
    np.testing.assert_array_equal(heads["logits"], to_numpy(model.student(IMAGES)))
    loss = float(model.compute_loss(IMAGES, LABELS, model(IMAGES), training=False))
    assert loss == pytest.approx(-(LABELS * log_softmax(mean)).sum(axis=1).mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("alpha", "moving", "still"),
    [(0.0, "head", "distillation_head"), (1.0, "distillation_head", "head")],
)
def test_each_head_learns_from_its_own_target_alone(alpha, moving, still, untraced):
    model = distiller(Distill(alpha=alpha))
    kernels = {name: model.student.get_layer(name).kernel for name in (moving, still)}
    before = {name: to_numpy(kernel) for name, kernel in kernels.items()}
    model.compile(keras.optimizers.SGD(0.1))
    model.train_on_batch(IMAGES, LABELS)
    assert (to_numpy(kernels[moving]) != before[moving]).any()
    np.testing.assert_array_equal(to_numpy(kernels[still]), before[still])


def test_without_a_token_the_only_head_learns_both():
    model = distiller(Distill(), distillation_token=False)
    heads = model(IMAGES)
    np.testing.assert_array_equal(to_numpy(heads["head"]), to_numpy(heads["distillation_head"]))


def test_the_teacher_is_not_part_of_the_student():
    teacher = vit(CONFIG)
    model = Distiller(vit(CONFIG), teacher, Distill())
    mine = {id(variable) for variable in model.variables}
    assert not mine & {id(variable) for variable in teacher.variables}
    assert mine == {id(variable) for variable in model.student.variables}


def small(**changes):
    recipe = recipes.debug(recipes.get("digits"))
    optimizer = recipes.Optimizer(learning_rate=1e-2)
    changes = {"epochs": 6, "batch_size": 16, "optimizer": optimizer, **changes}
    return dataclasses.replace(recipe, precision="float32", **changes)


@pytest.fixture(scope="module")
def teacher(images, tmp_path_factory):
    """The folder of a run whose model tells bars apart; its head was solved for, not trained."""
    folder = tmp_path_factory.mktemp("teacher")
    keras.utils.set_random_seed(0)
    model = vit(dataclasses.replace(small().model, num_classes=2, pool="average"))
    randomize(model)
    features = to_numpy(
        keras.Model(model.input, model.get_layer("head").input)(images.train.pixels)
    )
    wanted = np.eye(2)[images.train.labels] * 8 - 4
    features = np.pad(features, ((0, 0), (0, 1)), constant_values=1)  # the last is the bias
    solved = np.linalg.lstsq(features, wanted, rcond=1e-3)[0]
    model.get_layer("head").set_weights([solved[:-1], solved[-1]])
    said = to_numpy(model(images.test.pixels)).argmax(axis=1)
    np.testing.assert_array_equal(said, images.test.labels)
    plan = dataclasses.replace(small(), model=config_of(model))
    (folder / "recipe.json").write_text(json.dumps(recipes.to_dict(plan)), encoding="utf-8")
    (folder / "labels.txt").write_text("above\nbelow\n", encoding="utf-8")
    model.save(folder / "model.keras")
    return folder


def student(teacher, **changes):
    """Learns from its teacher alone, without a single label: at alpha 1."""
    model = dataclasses.replace(small().model, distillation_token=True)
    objective = Distill(str(teacher), alpha=1.0, **changes)
    # The teacher knows images as they are alone, not shifted or mixed.
    return small(model=model, objective=objective, augmentation=recipes.Augmentation())


@pytest.mark.parametrize("file", ["", pytest.param("export/model.tflite", marks=pytest.mark.slow)])
def test_a_student_learns_from_any_form_of_its_teacher(images, teacher, tmp_path, no_exports, file):
    if file:
        (teacher / file).parent.mkdir()
        known = ModelFile.find(teacher)
        to_tflite(known.load(), teacher / file, known.metadata())
    run = train(student(teacher / file), tmp_path / "run", images)
    assert config_of(run.model) == run.recipe.model
    head, distillation_head = (run.model.get_layer(n).kernel for n in ("head", "distillation_head"))
    assert not to_numpy(head).any()  # it starts from zero, and no label moved it
    assert to_numpy(distillation_head).any()
    assert run.report["top1"] == 1.0


def test_the_teacher_of_another_size_and_order_of_classes(images, teacher):
    other = dataclasses.replace(small().model, image_size=(16, 12))
    recipe = dataclasses.replace(student(teacher), model=other)
    ask, _ = open_teacher(recipe, ["below", "above"])
    large = np.repeat(np.repeat(images.test.pixels[:8], 2, axis=1), 2, axis=2)[:, :, :12]
    logits = to_numpy(ask(large.astype("float32")))
    assert (logits.argmax(axis=1) == 1 - images.test.labels[:8]).all()


def test_wrong_teachers_are_refused_before_the_run_begins(images, teacher, digits_run, tmp_path):
    with pytest.raises(UserError, match="expected the run folder or model file of the teacher"):
        train(small(objective=Distill()), tmp_path / "run", images)
    other = dataclasses.replace(images, classes=("above", "beneath"))
    with pytest.raises(UserError, match="they differ in below, beneath"):
        train(student(teacher), tmp_path / "run", other)
    color = student(teacher)
    color = dataclasses.replace(color, model=dataclasses.replace(color.model, channels=3))
    with pytest.raises(UserError, match="1 channels, where the student takes 3"):
        train(color, tmp_path / "run", images)
    digits, exported = load("digits")[0], digits_run[0] / "export/model.tflite"
    compiled = dataclasses.replace(student(exported), jit_compile=True)
    with pytest.raises(UserError, match="XLA cannot compile"):
        train(compiled, tmp_path / "run", digits)
    assert not (tmp_path / "run").exists()
