# SPDX-License-Identifier: MIT
"""What stands around the train steps, for `growth.py`: checkpoints, and exports with their check.

CPU seconds are those of this process and of those that it started, which have ended.
"""

import resource
import tempfile
import time
from pathlib import Path

_WIDTHS = (192, 384, 768)  # of models of four blocks
_IMAGES = (64, 256)


def cpu_seconds() -> float:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def checkpoint_costs() -> list[dict[str, float]]:
    """Of models of several widths: parameters, size, and CPU seconds to write and to go on with."""
    return [_checkpoint_cost(width) for width in _WIDTHS]


def _checkpoint_cost(width: int) -> dict[str, float]:
    import keras_vit
    from keras_vit.recipes import Optimizer
    from keras_vit.training.checkpoints import Checkpoint, Checkpoints
    from keras_vit.training.optimizers import make_optimizer
    from keras_vit.training.state import capture, restore

    config = keras_vit.ViTConfig.of(
        "Ti/16", width=width, mlp_dim=4 * width, num_heads=width // 64, depth=4
    )
    model = keras_vit.vit(config)
    optimizer = make_optimizer(Optimizer(), 1e-3, model.trainable_variables)
    model.compile(optimizer, "mse")
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder))
        before = cpu_seconds()
        path = checkpoints.save(Checkpoint(1, capture(model), {}))
        written = cpu_seconds()
        restore(model, checkpoints.load_newest().arrays)
        restored = cpu_seconds()
        size = sum(file.stat().st_size for file in path.iterdir())
    return {
        "parameters": model.count_params(),
        "MB": size / 1e6,
        "CPU s to write": written - before,
        "CPU s to read and restore": restored - written,
    }


def export_costs() -> list[dict[str, float]]:
    """For several numbers of test images: CPU seconds to export a LiteRT file and to check it."""
    return [_export_cost(count) for count in (1, *_IMAGES)][1:]  # the first warms up


def _export_cost(count: int) -> dict[str, float]:
    import numpy as np

    import keras_vit
    from keras_vit.deploy.exporting import export_model
    from keras_vit.deploy.original import CheckImages, Original
    from keras_vit.export import Metadata

    model = keras_vit.vit(keras_vit.ViTConfig.of("Ti/16", image_size=96, depth=4, num_classes=10))
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (count, 96, 96, 3)).astype("float32")
    labels = random.integers(0, 10, count)
    batches = [pixels[i : i + 64] for i in range(0, count, 64)]
    metadata = Metadata("growth", tuple("abcdefghij"), (96, 96), 3)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        before = cpu_seconds()
        images = CheckImages(batches, labels)
        export_model(Original(model, path, metadata), Path(folder) / "export", images, ("litert",))
        return {"test images": count, "CPU s": cpu_seconds() - before}
