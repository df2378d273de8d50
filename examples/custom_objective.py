# SPDX-License-Identifier: MIT
"""A new kind of training: the model is also to say the same of an image that is moved by a pixel.

A kind of training is a `keras.Model` around the model, with a loss of its own; `fit` stays the
loop, and the model inside does not know of it. Distillation and masked autoencoding in
`keras_vit/training/objectives/` are made the same way.

    python examples/custom_objective.py
"""

import keras
from keras import ops

import keras_vit

EPOCHS, WEIGHT = 15, 2.0


class Steady(keras.Model):
    """Trains a classifier to be right, and steady when an image moves by a pixel.

    The loss is the cross-entropy plus `weight` times the Kullback-Leibler divergence from what the
    model says of the image to what it says of the moved one.
    """

    def __init__(self, classifier: keras.Model, weight: float, **kwargs):
        super().__init__(**kwargs)
        self.classifier = classifier
        self.weight = weight
        self.cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def call(self, images, training=False):
        return self.classifier(images, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        right = self.cross_entropy(y, y_pred)
        if not training:
            return right
        moved = self.classifier(ops.roll(x, 1, axis=2), training=True)  # (B, classes)
        target = ops.stop_gradient(ops.log_softmax(y_pred))
        steady = ops.sum(ops.exp(target) * (target - ops.log_softmax(moved)), axis=-1)  # (B,)
        return right + self.weight * ops.mean(steady)


def train(weight: float) -> keras.Model:
    keras.utils.set_random_seed(0)
    classifier = keras_vit.vit(keras_vit.recipes.get("digits").model)
    images = keras_vit.data.load("digits")[0].train
    learner = Steady(classifier, weight)
    learner.compile(optimizer=keras.optimizers.AdamW(1e-3, weight_decay=0.05))
    learner.fit(images.pixels, images.labels, batch_size=64, epochs=EPOCHS, verbose=0)
    return classifier  # what is kept knows nothing of how it was trained


def main() -> None:
    test = keras_vit.data.load("digits")[0].test
    for weight in (0.0, WEIGHT):
        model = train(weight)
        said, moved = (
            model.predict(images, verbose=0).argmax(axis=1)
            for images in (test.pixels, ops.convert_to_numpy(ops.roll(test.pixels, 1, axis=2)))
        )
        right, same = (said == test.labels).mean(), (said == moved).mean()
        print(f"weight {weight:.0f}: top-1 {right:.1%}, says the same when moved: {same:.1%}")


if __name__ == "__main__":
    main()
