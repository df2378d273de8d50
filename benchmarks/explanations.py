# SPDX-License-Identifier: MIT
"""An exam of explanations: scenes whose cause is known, and curves of deletion and insertion.

    python benchmarks/explanations.py --page docs/explanations.md

Each scene is a noisy gradient with bars that mean nothing and one figure, 14 of 48 pixels, whose
pattern is the class. A small Vision Transformer learns them (with a class token, an average and a
pool of attention at its end); then every method says what speaks for its answers on other scenes.

* pointing: share of the scenes in which the patch that matters most shows the figure;
* deletion, insertion: mean probability of the class while patches are taken away, and put back, the
  most important first (`keras_vit.analysis.examine`);
* the advantage over chance, with its standard error.

The tables go between the marks of the page. Three models are trained: five minutes of one core.
"""

import argparse
import re
from pathlib import Path

import keras
import numpy as np

from keras_vit import ViTConfig, vit
from keras_vit.analysis import examine, explain, pointing
from keras_vit.analysis.exam import center_map

SIZE, FIGURE = 48, 14
PATTERNS = ("rows", "columns", "checks", "plain")
POOLS = {
    "class token": {"pool": "token"},
    "average": {"pool": "average", "class_token": False},
    "pool of attention": {"pool": "map", "class_token": False},
}


def scenes(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws scenes.

    Returns:
        float32 images `(count, 48, 48, 3)`, 0 to 255; classes `(count,)`; and the pixels of each
        figure, bool `(count, 48, 48)`.
    """
    rng = np.random.default_rng(seed)
    classes = rng.integers(len(PATTERNS), size=count)
    images = np.empty((count, SIZE, SIZE, 3), "float32")
    figures = np.zeros((count, SIZE, SIZE), bool)
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    for i in range(count):
        slope = rng.normal(size=(3, 2)) * 60
        images[i] = (
            rng.uniform(60, 190, 3) + y[..., None] * slope[:, 0] + x[..., None] * slope[:, 1]
        )
        for _ in range(4):  # bars that mean nothing
            row, column = rng.integers(0, SIZE - 16, 2)
            long, wide = (2, 16) if rng.random() < 0.5 else (16, 2)
            images[i, row : row + long, column : column + wide] = rng.uniform(0, 255, 3)
        row, column = rng.integers(0, SIZE - FIGURE, 2)
        place = i, slice(row, row + FIGURE), slice(column, column + FIGURE)
        dark, bright = rng.uniform(0, 100, 3), rng.uniform(155, 255, 3)
        images[place] = np.where(pattern(PATTERNS[classes[i]])[..., None], bright, dark)
        figures[place] = True
    images += rng.normal(size=images.shape) * 12
    return np.clip(images, 0, 255), classes, figures


def pattern(name: str) -> np.ndarray:
    """Where a figure is bright, bool `(14, 14)`."""
    y, x = np.mgrid[:FIGURE, :FIGURE] // 2 % 2 == 0
    return {"rows": y, "columns": x, "checks": y ^ x, "plain": np.ones_like(x)}[name]


def trained(options: dict, epochs: int, count: int) -> keras.Model:
    """A small model that has learned the scenes."""
    keras.utils.set_random_seed(0)
    sizes = {"width": 64, "depth": 4, "mlp_dim": 128, "num_heads": 4, "patch_size": 6}
    model = vit(ViTConfig(image_size=SIZE, num_classes=len(PATTERNS), **sizes, **options))
    steps = epochs * (count // 64)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=1e-3, warmup_steps=steps // 10
    )
    model.compile(
        keras.optimizers.AdamW(rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,  # it would take longer to compile than to train
    )
    images, classes, _ = scenes(count, seed=1)
    model.fit(images, classes, batch_size=64, epochs=epochs, verbose=2)
    return model


def kept(folder: str | None, name: str) -> keras.Model | None:
    """The model of an earlier run."""
    path = Path(folder or "", f"{name.replace(' ', '-')}.keras")
    return keras.saving.load_model(path) if folder and path.exists() else None


def graded(model: keras.Model, count: int) -> tuple[float, list[tuple]]:
    """Accuracy on new scenes, and a row for each method, the best first."""
    images, classes, figures = scenes(count, seed=2)
    predicted = model.predict(images, verbose=0).argmax(axis=1)
    right = predicted == classes
    images, classes, figures = images[right], classes[right], figures[right]
    rows = []
    for name, grade in examine(model, images, classes).items():
        if name == "random":
            maps = np.random.default_rng(3).random((len(images), 8, 8))
        elif name == "center":
            maps = center_map(len(images), (8, 8))
        else:
            maps = explain(model, images, classes, name)
        rows.append((name, pointing(maps, figures).mean(), grade))
    return right.mean(), rows


def table(name: str, accuracy: float, rows: list[tuple]) -> str:
    """A Markdown table of one model."""
    lines = [
        f"**{name[0].upper()}{name[1:]}**, right about {accuracy:.0%} of new scenes:",
        "",
        "| map | pointing | deletion | insertion | ahead of chance |",
        "|---|---|---|---|---|",
    ]
    for method, hits, grade in rows:
        lines.append(
            f"| {method} | {hits:.0%} | {grade.deletion:.2f} | {grade.insertion:.2f} | "
            f"{grade.advantage:+.2f} +- {grade.error:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--scenes", type=int, default=6400)
    parser.add_argument("--test", type=int, default=100)
    parser.add_argument("--models", help="folder where trained models are kept, and found again")
    parser.add_argument("--page", help="page to write the tables into; default: print them")
    args = parser.parse_args()
    parts = []
    for name, options in POOLS.items():
        model = kept(args.models, name) or trained(options, args.epochs, args.scenes)
        if args.models:
            model.save(Path(args.models) / f"{name.replace(' ', '-')}.keras")
        parts.append(table(name, *graded(model, args.test)))
        print(parts[-1], flush=True)
    if args.page:
        page, tables = Path(args.page), "\n\n".join(parts)
        between = f"<!-- exam -->\n\n{tables}\n\n<!-- end -->"
        text = page.read_text(encoding="utf-8")
        text = re.sub("<!-- exam -->.*<!-- end -->", lambda _: between, text, flags=re.DOTALL)
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
