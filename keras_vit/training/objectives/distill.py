# SPDX-License-Identifier: MIT
"""Learning from a teacher (arXiv 1503.02531), with a token of its own where there is one (DeiT,
arXiv 2012.12877)."""

import math
from collections.abc import Callable, Sequence

import keras
from keras import ops

from keras_vit.errors import UserError
from keras_vit.export.worker import Worker
from keras_vit.model_file import ModelFile
from keras_vit.models.batch_mean import mean_over_batch
from keras_vit.models.keras_file import load_keras
from keras_vit.recipes import Classify, Distill, Recipe
from keras_vit.training.inputs import check_teacher
from keras_vit.training.objectives.base import Objective, float32_copy, save_whole
from keras_vit.training.objectives.classify import make_loss
from keras_vit.training.objectives.labelled import check_task, deliver, make_metrics


class Distillation(Objective):
    """A student next to its teacher; the student is what is kept."""

    def check(self, recipe, images):
        check_task(recipe.objective, images.task)
        check_teacher(recipe, images.classes)

    def learner(self, model, recipe, images):
        teacher, compiles = open_teacher(recipe, images.classes)
        learner = Distiller(model, teacher, recipe.objective)
        learner.supports_jit = compiles
        return learner

    def compile_arguments(self, recipe, images):
        return {"weighted_metrics": make_metrics()}  # the loss is the distiller's own

    def save(self, learner, path):
        save_whole(float32_copy(learner.student), path)

    def finish(self, model, recipe, images, run):
        return deliver(model, recipe, images, run)

    def forward_flops(self, recipe):
        return recipe.model.forward_flops()

    def loss_of_chance(self, recipe, images):
        return math.log(len(images.classes)) if recipe.objective.hard else None


class Distiller(keras.Model):
    """A student in the hands of its teacher; what is trained, saved and evaluated is the student.

    `keras.distillation.Distiller` has one output for both losses; here the class head answers for
    the labels and the distillation head for the teacher. In evaluation the teacher is not asked:
    the loss is the cross-entropy of the student's logits, the mean of both heads.

    Args:
        student: a model that `vit` built.
        teacher: from pixels to logits `(batch, classes)`, in the order of the student's classes.
        objective: weights and temperature.
    """

    def __init__(self, student: keras.Model, teacher: Callable, objective: Distill, **kwargs):
        super().__init__(**kwargs)
        self.student = student
        # A function, so that Keras does not count the teacher's weights among ours.
        self.ask_teacher = lambda images: ops.stop_gradient(teacher(images))
        self.objective = objective
        outputs = {name: student.output for name in ("logits", "head", "distillation_head")}
        if any(layer.name == "distillation_head" for layer in student.layers):
            for name in ("head", "distillation_head"):
                outputs[name] = student.get_layer(name).output
        self.heads = keras.Model(student.input, outputs)
        self.heads.input_spec = student.input_spec  # of a progressive run: images of any size
        self.label_loss = make_loss(Classify(label_smoothing=objective.label_smoothing))

    def call(self, images, training=False):
        return self.heads(images, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if not training:
            return self.label_loss(y, y_pred["logits"], sample_weight)
        label_loss = self.label_loss(y, y_pred["head"])
        teacher_loss = imitation_loss(
            self.ask_teacher(x), y_pred["distillation_head"], self.objective
        )
        return (1 - self.objective.alpha) * label_loss + self.objective.alpha * teacher_loss

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return super().compute_metrics(x, y, y_pred["logits"], sample_weight)


def imitation_loss(teacher, student, objective: Distill):
    """How far a student's logits are from its teacher's, a scalar.

    With `objective.hard`, the cross-entropy with the teacher's most probable class (arXiv
    2012.12877, equation 3); else the Kullback-Leibler divergence of the probabilities at
    `objective.temperature`, times its square (arXiv 1503.02531, section 2).

    Args:
        teacher, student: logits `(batch, classes)`.
        objective: which of the two, and the temperature.
    """
    temperature = 1 if objective.hard else objective.temperature
    log_student = ops.log_softmax(student / temperature, axis=-1)
    if objective.hard:
        truth = ops.one_hot(ops.argmax(teacher, axis=-1), teacher.shape[-1], dtype=student.dtype)
        return mean_over_batch(-ops.sum(truth * log_student, axis=-1))
    # From logits: `keras.losses.KLDivergence` clips probabilities at 1e-7, where a student that is
    # sure of the wrong class would get no gradient.
    log_teacher = ops.log_softmax(teacher / temperature, axis=-1)
    divergence = ops.sum(ops.exp(log_teacher) * (log_teacher - log_student), axis=-1)
    return temperature**2 * mean_over_batch(divergence)


def open_teacher(recipe: Recipe, classes: Sequence[str]) -> tuple[Callable, bool]:
    """Opens the teacher of a recipe.

    Args:
        recipe: names it.
        classes: the student's class names.

    Returns:
        A function from the student's pixels to logits in the order of the student's classes, and
        whether XLA can compile it: an exported file runs on the host.
    """
    file, metadata = check_teacher(recipe, classes)
    logits = _logits_of(file, len(metadata.labels))
    order = [metadata.labels.index(name) for name in classes]

    def teacher(images):  # (B, H, W, C)
        images = _resized(images, metadata.image_size)
        return ops.take(logits(images), order, axis=-1)  # (B, classes)

    return teacher, file.needs_keras


def _logits_of(file: ModelFile, num_classes: int) -> Callable:
    """A function from pixels to the logits of a model file, for the graph of a train step."""
    if file.needs_keras:
        model = load_keras(file.path)
        return lambda images: model(images, training=False)
    if keras.backend.backend() != "tensorflow":
        raise UserError(
            f"objective.teacher: {file.path} can be a teacher on the TensorFlow backend alone. "
            "Name a run folder or a .keras file."
        )
    from keras_vit.export.host_call import in_graph

    return in_graph(Worker(file.path), num_classes)


def _resized(images, wanted: tuple[int, int]):
    """Images at the size that the teacher takes, where it takes another than the student."""
    size = tuple(images.shape[1:3])
    if size == wanted:
        return images
    # To enlarge takes no antialiasing, whose form TensorFlow's XLA cannot compile.
    shrinks = size[0] > wanted[0] or size[1] > wanted[1]
    return ops.image.resize(images, wanted, antialias=shrinks)
