# SPDX-License-Identifier: MIT
from keras_vit import recipes, vit
from keras_vit.deploy import Runners
from keras_vit.export import open_runner
from keras_vit.run_folder import RunFolder
from keras_vit.training import Run
from keras_vit.training.objectives.labelled import deliver
from keras_vit.training.plan import make_plan
from tests.contracts import randomize


def test_an_export_that_disagrees_is_rejected_and_says_where(images, tmp_path):
    def broken(path):
        run = open_runner(path)
        if path.suffix == ".tflite":
            return lambda pixels: run(pixels)[:, ::-1]
        return run

    recipe = make_plan(recipes.debug(recipes.get("digits")), tmp_path, images).recipe
    model = vit(recipe.model)
    randomize(model)
    model.save(tmp_path / "model.keras")
    report, _ = deliver(model, recipe, images, RunFolder(tmp_path), Runners(open=broken))
    assert not Run(tmp_path, recipe, model, report).ok
    saved_model, litert = report["exports"]
    assert saved_model["ok"] and not litert["ok"]
    assert "24 of 24 images get another class, first train/1: '" in litert["problem"]
    assert litert["path"] == "export/model.tflite.rejected"
    assert (tmp_path / litert["path"]).exists()
    assert not (tmp_path / "export" / "model.tflite").exists()
