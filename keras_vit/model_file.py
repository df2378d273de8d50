# SPDX-License-Identifier: MIT
"""A model file of any format, and what stands around it: its run, labels and test images."""

import dataclasses
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from keras_vit.data.by_name import load_for_test
from keras_vit.errors import UserError, unknown
from keras_vit.export.metadata import Metadata
from keras_vit.export.runner import RUNTIMES, format_of, runtime_of
from keras_vit.origins import origins_of
from keras_vit.preprocessing import view_of
from keras_vit.progress import step
from keras_vit.run_folder import EXPORT_NAMES, NamedSplit, RunFolder, untold
from keras_vit.untrusted.text import visible

if TYPE_CHECKING:
    import keras


@dataclasses.dataclass(frozen=True)
class ModelFile:
    """A model file of any format, with the run that it belongs to.

    Attributes:
        path: the file, or the folder of a SavedModel.
        run: the run that it stands in, or in whose export/ it stands; None of a lone file.
        runtime: what runs it, of `keras_vit.export.runner.RUNTIMES`; None for the runtime of its
            format.
    """

    path: Path
    run: RunFolder | None
    runtime: str | None = None

    @classmethod
    def find(
        cls, target: "str | os.PathLike | ModelFile", runtime: str | None = None
    ) -> "ModelFile":
        """Finds the model file of a target, without Keras.

        Args:
            target: a run folder, a `.keras`, `.tflite` or `.onnx` file, or a SavedModel folder; or
                what was found before, which is returned.
            runtime: of `keras_vit.export.runner.RUNTIMES`, what is to run it: of a run the exported
                file that it runs is found; None for the Keras model of a run, and for the runtime
                of a file's format.

        Raises:
            UserError: for anything else, for a run without a model or a readable recipe, and for a
                runtime that does not run the file, or has none in the run.
        """
        if isinstance(target, ModelFile):
            return target
        if runtime is not None and runtime not in RUNTIMES:
            raise unknown("runtime", runtime, RUNTIMES)
        path, run = Path(target), RunFolder(Path(target))
        if not path.exists():
            raise UserError(
                f"{path}: no such file or folder. Train a model with `keras-vit train`."
            )
        if run.exists:
            path = _of_run(run, RUNTIMES[runtime or "keras"])
        if format_of(path) is None:
            raise UserError(
                f"{target}: expected a run folder (with {run.recipe_file.name}), a .keras, .tflite "
                "or .onnx file, or a SavedModel folder (with saved_model.pb)."
            )
        runtime_of(path, runtime)
        return cls(path, RunFolder.around(path), runtime)

    @property
    def format(self) -> str:
        """ "keras", "litert", "onnx" or "saved_model"."""
        return cast(str, format_of(self.path))  # which `find` has asked for

    @property
    def needs_keras(self) -> bool:
        """Whether to open it imports Keras into this process, which takes seconds."""
        return self.format == "keras"

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Class names of the run whose model it is; None without a run, and without classes."""
        return (self._own_run and self._own_run.labels) or None

    def metadata(self, own: str | None = None) -> Metadata:
        """Labels and input size, from the file itself or from the run whose model it is.

        Args:
            own: what `Worker.metadata` said, where the file is open already.
        """
        found = None if self.needs_keras else Metadata.read(self.path, own)
        if found is not None:
            return found
        if self._own_run is None:
            raise untold(self.path)
        return self._own_run.metadata

    def numbered(self, model: "keras.Model") -> Metadata:
        """The metadata of a lone `.keras` file, whose classes have numbers for names."""
        lone = f"{self.path} stands in no run folder: its classes are numbered"
        print(visible(lone), file=sys.stderr)
        _, height, width, channels = model.input.shape
        labels = tuple(map(str, range(model.output.shape[-1])))
        view = dataclasses.asdict(view_of(model))
        origins = origins_of(model)
        return Metadata(self.path.stem, labels, (height, width), channels, origins=origins, **view)

    def load(self) -> "keras.Model":
        """Loads the Keras model of a run folder or `.keras` file."""
        from keras_vit.models.keras_file import load_keras

        if not self.needs_keras:
            raise UserError(f"{self.path}: expected a run folder or a .keras file.")
        with step(f"opening {self.path.name}"):
            return load_keras(self.path)

    def trained_on(self, source: str | None) -> RunFolder | None:
        """The run of the model, if it was trained on a source there; None stands for any."""
        if self.run is None or source not in (None, self.run.recipe.data.source):
            return None
        return self.run

    def test_split(self, source: str | None = None, data_dir: str | None = None) -> NamedSplit:
        """Finds labelled images to measure the model on.

        Args:
            source: where they are (see `keras_vit.data.load`); None, or the source that the model
                was trained on, is the test split of its run, as it was recorded.
            data_dir: where TFDS keeps its data sets.

        Returns:
            The name of the data, the class names, and the split: "test" where there is one,
            "validation" else, all of a source that is not divided.

        Raises:
            UserError: when no source is named and the model does not stand in a run folder.
        """
        run = self.trained_on(source)
        if run is not None:
            return run.split("test", data_dir)
        if source is None:
            raise UserError(
                f"{self.path} does not stand in a run folder, so its test images are not known. "
                "Name a data set or a folder of images."
            )
        return (source, *load_for_test(source, data_dir))

    @property
    def _own_run(self) -> RunFolder | None:
        """The run that the file stands in itself: what is in its export/ says its own labels."""
        return self.run if self.run is not None and self.run.path == self.path.parent else None


def _of_run(run: RunFolder, format: str) -> Path:
    """The model of a run in a format."""
    if format == "keras":
        path = run.model_file
        if not path.exists():
            raise UserError(
                f"{run.path}: this run has no {path.name}; it ended before its first epoch."
            )
        return path
    path = run.exports_folder / EXPORT_NAMES[format]
    if not path.exists():
        raise UserError(
            f"{run.path}: this run has no {path.relative_to(run.path)}. Type `keras-vit export "
            f"{run.path} --format {format} --out NEW`, and name what is in NEW."
        )
    return path
