# SPDX-License-Identifier: MIT
import dataclasses
import json

import keras
import numpy as np
import pytest
from PIL import Image

from keras_vit import UserError, config_of, recipes
from keras_vit.data import load
from keras_vit.predictor import Predictor
from keras_vit.reports import export_table, write_report
from keras_vit.training import RunOptions, TimeIsUp, dry_run, resume, train
from keras_vit.training.history import read_history
from keras_vit.training.objectives import objective_of
from keras_vit.training.state import to_array
from tests.contracts import to_numpy


def pretraining(**changes):
    recipe = recipes.debug(recipes.get("masked_autoencoder_small"))
    sizes = {"image_size": 8, "channels": 1, "patch_size": 2}
    augmentation = recipes.Augmentation(crop="pad", pad=1)
    return dataclasses.replace(
        recipe,
        model=dataclasses.replace(recipe.model, **sizes),
        data=recipes.Data(source="digits"),
        augmentation=augmentation,
        precision="float32",
        **changes,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = train(pretraining(epochs=3), tmp_path_factory.mktemp("mae") / "run")
    write_report(run.workdir)
    return run


def test_a_run_without_labels(run):
    assert run.ok
    assert config_of(run.model) == run.recipe.model
    assert run.recipe.model.num_classes == 0
    report = json.loads((run.workdir / "report.json").read_text())
    assert report == run.report
    assert report["exports"] == []
    assert report["validation_top1"] is None
    rows = read_history(run.workdir / "history.csv")
    assert "accuracy" not in rows[0]
    assert rows[-1]["loss"] < rows[0]["loss"]
    best = min(rows, key=lambda row: row["val_loss"])
    assert report["best_epoch"] == best["epoch"]
    assert report["validation_loss"] == pytest.approx(best["val_loss"], rel=1e-5)
    assert 0 < report["test_loss"] < 1.5


def test_the_report_and_its_picture(run):
    page = (run.workdir / "report.md").read_text()
    assert f"{run.report['test_loss']:.4f} on 359 test images" in page
    assert "top-1" not in page.lower()
    assert "model.keras" in export_table(run.report)
    with np.load(run.workdir / "reconstruction.npz") as file:
        original, masked, painted = (file[n] for n in ("original", "masked", "reconstructed"))
    grey = masked == 128  # 127.5, rounded
    patches = grey.reshape(8, 4, 2, 4, 2).all(axis=(2, 4))
    assert (patches.sum(axis=(1, 2)) == 12).all()
    hidden = patches.repeat(2, axis=1).repeat(2, axis=2)[..., None]
    np.testing.assert_array_equal(original[~hidden], masked[~hidden])
    # In float32, through Rescaling and back.
    assert np.abs(original.astype(int) - painted)[~hidden].max() <= 1
    with Image.open(run.workdir / "reconstruction.png") as picture:
        assert picture.width > picture.height


def test_the_encoder_is_what_was_trained(run):
    whole = keras.saving.load_model(run.workdir / "masked_autoencoder.keras")
    for mine, theirs in zip(run.model.weights, whole.encoder.weights, strict=True):
        np.testing.assert_array_equal(to_numpy(mine), to_numpy(theirs))


def test_fine_tuning_starts_from_every_variable_of_the_encoder(run, tmp_path, no_exports, untraced):
    recipe = dataclasses.replace(
        recipes.get("finetune"),
        init=str(run.workdir),
        data=run.recipe.data,
        augmentation=recipes.Augmentation(),
        epochs=1,
        batch_size=2000,  # one step
        optimizer=recipes.Optimizer(learning_rate=0.0, weight_decay=0.0),
    )
    tuned = train(recipe, tmp_path / "run")
    assert tuned.recipe.model == dataclasses.replace(run.recipe.model, num_classes=10)
    weights = {variable.path: to_numpy(variable) for variable in tuned.model.weights}
    assert set(weights) - {v.path for v in run.model.weights} == {"head/kernel", "head/bias"}
    for variable in run.model.weights:
        np.testing.assert_array_equal(weights[variable.path], to_numpy(variable))


def test_what_the_classifier_is_tested_on_was_not_seen(run):
    objective, source = objective_of(run.recipe), run.recipe.data.source
    images, classified = objective.prepare(objective.load(source)[0]), load(source)[0]
    assert images.classes == ()
    for split in ("train", "validation", "test"):
        mine, theirs = getattr(images, split), getattr(classified, split)
        np.testing.assert_array_equal(mine.pixels, theirs.pixels)
        assert not mine.labels.any()


@pytest.mark.slow
def test_a_run_that_was_stopped_draws_the_same_masks(run, tmp_path):
    """Bit for bit the run that was not stopped: the state of the mask's seed is in a checkpoint."""

    class StopInTheMiddle(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 7 and int(self.model.optimizer.iterations) > 30:
                raise TimeIsUp("enough", 0, tmp_path)

    options = RunOptions(checkpoint_steps=5)
    with pytest.raises(TimeIsUp):
        train(pretraining(epochs=3), tmp_path / "run", None, [StopInTheMiddle()], options)
    again = resume(tmp_path / "run")
    for mine, theirs in zip(again.model.weights, run.model.weights, strict=True):
        np.testing.assert_array_equal(to_array(mine), to_array(theirs))
    assert again.report["validation_loss"] == run.report["validation_loss"]


def test_an_encoder_names_no_classes(run):
    with pytest.raises(UserError, match="trained without labels"):
        Predictor.open(run.workdir)


def test_the_rehearsal_counts_visible_patches_and_the_decoder(untraced):
    recipe = pretraining()
    dry = dry_run(recipe)
    assert "chance" not in dry.text
    assert "classes" not in dry.text
    config = dry.plan.recipe.model
    flops = objective_of(recipe).forward_flops(dry.plan.recipe)
    # Of a decoder as wide as the encoder: one block on 17 tokens, both projections, 5 tokens over.
    n, d = 17, 32
    block = 2 * (4 * n * d * d + 2 * n * n * d + 2 * n * d * 4 * d)
    expected = config.forward_flops(4) + block + 2 * 16 * 4 * d + 2 * 5 * d * d
    assert flops == expected
    assert config.forward_flops(4) < config.forward_flops()
