# SPDX-License-Identifier: MIT
"""Exports of a run that another backend of Keras trained, by a process of TensorFlow.

Files are written from TensorFlow's graphs. The process gets the run folder, reads model and test
images itself, and prints what `export_model` reports.
"""

import hashlib
import json
import os
import subprocess
import sys

from keras_vit.data.dataset import Split, split_batches
from keras_vit.errors import UserError
from keras_vit.processes import python_command
from keras_vit.run_folder import RunFolder

_BATCH = 64


def export_on_tensorflow(run: RunFolder, test: Split, formats: tuple[str, ...]) -> dict:
    """Exports the model of a run, and checks the files, in a process of TensorFlow.

    Args:
        run: with its model, metadata and recipe.
        test: the images that the files are checked on, which the run's own records lead to.
        formats: keys of `EXPORT_NAMES`.

    Returns:
        See `keras_vit.deploy.export_model`.

    Raises:
        UserError: where the run's records do not lead to these images, as with images in memory.
    """
    settings = json.dumps([os.fspath(run.path.resolve()), _digest(test), formats])
    # Neither the backend nor the processes of the training are those of this one.
    kept = {name: value for name, value in os.environ.items() if "_DISTRIBUTION_" not in name}
    done = subprocess.run(
        python_command("keras_vit.deploy.on_tensorflow", settings),
        env={**kept, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise UserError(f"{run.path}: TensorFlow did not export it (exit {done.returncode}).")
    answer = json.loads(done.stdout.splitlines()[-1])
    if "refused" in answer:
        raise UserError(answer["refused"])
    return answer


def main(settings: str) -> dict:
    """What the process does; see `export_on_tensorflow`."""
    from keras_vit.deploy.exporting import export_model
    from keras_vit.deploy.original import CheckImages, Original
    from keras_vit.models.keras_file import load_keras

    path, digest, formats = json.loads(settings)
    run = RunFolder.open(path)
    _, _, split = run.split("test")
    if _digest(split) != digest:
        raise UserError(f"{path}: its records do not lead to the images that it was tested on.")
    metadata = run.metadata
    batches = split_batches(split, metadata.preprocessing, _BATCH, "running model and exports")
    return export_model(
        Original(load_keras(run.model_file), run.model_file, metadata),
        run.exports_folder,
        CheckImages(batches, split.labels, split.name_of),
        formats,
    )


def _digest(split: Split) -> str:
    plain = json.dumps(split.fingerprint(), sort_keys=True, default=str)
    return hashlib.sha256(plain.encode()).hexdigest()


if __name__ == "__main__":
    try:
        found = main(sys.argv[1])
    except UserError as error:
        found = {"refused": str(error)}
    print(json.dumps(found))
