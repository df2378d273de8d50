# SPDX-License-Identifier: MIT
"""A folder of images and a trained model become a model for the classes of the folder.

    python examples/digit_files.py photos 5 6 7
    keras-vit train --workdir runs/digits              a model to start from
    python examples/finetune.py photos runs/digits

Instead of the run: the name of published weights (`keras-vit list weights`), or a checkpoint file.
`keras-vit train photos --init runs/digits` does the same, and more: it keeps the best epoch, tests,
exports and can be stopped. This is for those who want the loop in their own hands.
"""

import sys

import keras

import keras_vit

EPOCHS, BATCH = 15, 16


def load_images(folder: str, size: tuple[int, int], channels: int):
    """Four fifths of a folder for training and one for validation, as tf.data."""
    return keras.utils.image_dataset_from_directory(
        folder,
        image_size=size,
        batch_size=BATCH,
        color_mode="grayscale" if channels == 1 else "rgb",
        validation_split=0.2,
        subset="both",
        seed=0,
        verbose=False,
    )


def main(folder: str, weights: str) -> None:
    keras.utils.set_random_seed(0)
    config = keras_vit.config_of(keras_vit.load_model(weights))
    train, validation = load_images(folder, config.image_size, config.channels)
    classes = train.class_names

    # The body of the model as it was trained; a new head for these classes.
    model = keras_vit.load_model(weights, num_classes=len(classes))
    model.compile(
        # As the paper fine-tunes: SGD with momentum, no weight decay, gradients clipped to norm 1.
        optimizer=keras.optimizers.SGD(0.03, momentum=0.9, global_clipnorm=1.0),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    start = model.evaluate(validation, verbose=0)[1]
    model.fit(train, epochs=EPOCHS, verbose=0)
    end = model.evaluate(validation, verbose=0)[1]
    print(
        f"classes {', '.join(classes)}: top-1 {start:.0%} before, {end:.0%} after {EPOCHS} epochs"
    )
    model.save("finetuned.keras")


if __name__ == "__main__":
    main(*sys.argv[1:])
