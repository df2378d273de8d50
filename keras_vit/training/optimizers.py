# SPDX-License-Identifier: MIT
"""The optimizer of a recipe: Keras's own, with a factor for each variable.

Where a step of Keras is not that of the paper and of PyTorch and optax, it is written anew here:
where Adam's epsilon stands, what SGD's momentum keeps, where LAMB decays, and what Muon takes for a
matrix. Gradients are clipped by `clip_norm / norm`, as in optax; PyTorch divides by `norm + 1e-6`.
"""

import math
import re
from collections.abc import Iterable, Sequence

import keras
from keras import ops

from keras_vit.errors import UserError
from keras_vit.recipes import Optimizer
from keras_vit.training import adam_kernel

HEADS = ("pre_logits", "head", "distillation_head")
_TOGETHER = 2**16  # numbers of the matrices that Muon stacks; large ones are faster one by one


class PerVariable:
    """What goes before a Keras optimizer among the base classes, so that variables may differ.

    It also makes gradient accumulation equal to a larger batch: in Keras 3.15 the schedule and the
    average of the weights advance with each small batch; here, with each update.

    Args:
        scales: for the path of each variable, the factor of its learning rate and its weight decay.
        l2: whether the decay is added to the gradient (an L2 penalty) or taken from the weight.
        head_first: updates in which the head alone moves; the rates of all else then grow from 0
            over as many more. Moments are kept from the first update on.
        **kwargs: those of the Keras optimizer.
    """

    def __init__(
        self,
        *,
        scales: dict[str, tuple[float, float]],
        l2: bool = False,
        head_first: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.scales = scales
        self.l2 = l2
        self.head_first = head_first

    def build(self, variables):
        super().build(variables)
        self.scale_of_index = [tuple(self.scales[variable.path]) for variable in variables]
        self.waits = [self.head_first and not in_head(variable.path) for variable in variables]

    def rate_and_decay(self, variable, learning_rate):
        """The learning rate of a variable in this step, and its weight decay."""
        index = self._get_variable_index(variable)
        factor, decay = self.scale_of_index[index]
        rate = ops.cast(learning_rate, variable.dtype) * factor
        if self.waits[index]:
            # A factor and not a switch: the step is traced once, and a run that goes on knows it
            # from the number of the update.
            grown = ops.cast(self.iterations, variable.dtype) / self.head_first - 1.0
            rate = rate * ops.clip(grown, 0.0, 1.0)
        return rate, decay

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(*self.decayed(gradient, variable, learning_rate))

    def decayed(self, gradient, variable, learning_rate):
        """Decays a variable; returns gradient, variable and rate of the rest of its step."""
        rate, decay = self.rate_and_decay(variable, learning_rate)
        gradient = ops.cast(gradient, variable.dtype)
        if decay and self.l2:
            gradient = gradient + decay * variable
        elif decay:
            self.assign_sub(variable, variable * (rate * decay))
        return gradient, variable, rate

    def _clip_gradients(self, grads):
        if self.global_clipnorm and adam_kernel.runs_here():
            return adam_kernel.clip(grads, self.global_clipnorm)
        return super()._clip_gradients(grads)

    def _apply_weight_decay(self, variables):
        """Nothing: the decay of a variable is part of its step, which knows its rate."""

    def _get_current_learning_rate(self):
        # Keras asks the schedule for the number of the batch; `iterations` counts updates.
        if isinstance(self._learning_rate, keras.optimizers.schedules.LearningRateSchedule):
            return self._learning_rate(self.iterations)
        return super()._get_current_learning_rate()

    def _update_model_variables_moving_average(self, trainable_variables):
        if not self.use_ema:
            return
        steps = self.gradient_accumulation_steps or 1
        done = self._iterations + 1  # batches, of which every `steps`-th makes an update
        # The average starts as the weights after the first update, and stays between updates.
        started = ops.where(ops.equal(done, steps), 0.0, self.ema_momentum)
        momentum = ops.where(ops.equal(done % steps, 0), started, 1.0)
        averages = self._model_variables_moving_average
        for variable, average in zip(trainable_variables, averages, strict=True):
            share = ops.cast(momentum, variable.dtype)
            average.assign(share * average + (1 - share) * variable)

    def finalize_variable_values(self, var_list):
        """Nothing: `SwapAverages` leaves the averages in the model after the last epoch, and after
        another one `fit` may be called again."""

    def get_config(self):
        return {
            **super().get_config(),
            "scales": {path: list(pair) for path, pair in self.scales.items()},
            "l2": self.l2,
            "head_first": self.head_first,
        }


class _AdamStep:
    """Adam with epsilon where the paper has it (arXiv 1412.6980, algorithm 1).

    Keras adds it to the root of the second moment before the bias of that is corrected: it then
    acts 1 / sqrt(1 - beta_2^t) larger, 31 times in the first step.
    """

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        moments = self._momentums[index], self._velocities[index]
        direction = _adam_direction(self, gradient, moments, (self.beta_1, self.beta_2))
        self.assign_sub(variable, learning_rate * direction)

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        if adam_kernel.runs_here():
            betas, moments = (self.beta_1, self.beta_2), (self._momentums, self._velocities)
            adam_kernel.update(self, grads, trainable_variables, learning_rate, betas, moments)
        else:
            super()._backend_update_step(grads, trainable_variables, learning_rate)


def _adam_direction(optimizer, gradient, moments, betas):
    """Moves both moments; returns what Adam multiplies by the learning rate."""
    step = ops.cast(optimizer.iterations + 1, gradient.dtype)
    corrected = []
    for moment, beta, sample in zip(moments, betas, (gradient, ops.square(gradient)), strict=True):
        optimizer.assign_add(moment, (sample - moment) * (1 - beta))
        # 1 - beta^t: in float32, 1 - 0.999 would be off by 1e-5 of itself.
        bias = -ops.expm1(step * (math.log(beta) if beta else -math.inf))
        corrected.append(moment / bias)
    return corrected[0] / (ops.sqrt(corrected[1]) + optimizer.epsilon)


@keras.saving.register_keras_serializable("keras_vit")
class AdamW(PerVariable, _AdamStep, keras.optimizers.AdamW):
    """Adam, with the decay next to it (AdamW) or, as an L2 penalty, inside."""


class _MomentumStep:
    """Momentum of gradients, as in PyTorch and optax.

    Keras keeps a momentum of steps, each with the learning rate of its own time: while that falls,
    the run trains at a rate some ten steps older.
    """

    def update_step(self, gradient, variable, learning_rate):
        if self.momentum:
            moment = self.momentums[self._get_variable_index(variable)]
            self.assign(moment, self.momentum * moment + gradient)
            gradient = gradient + self.momentum * moment if self.nesterov else moment
        self.assign_sub(variable, learning_rate * gradient)


@keras.saving.register_keras_serializable("keras_vit")
class SGD(PerVariable, _MomentumStep, keras.optimizers.SGD):
    """Gradient descent, with momentum. The decay is apart from it: PyTorch's is an L2 penalty."""


@keras.saving.register_keras_serializable("keras_vit")
class Lamb(PerVariable, keras.optimizers.Lamb):
    """LAMB with its decay inside the trust ratio (arXiv 1904.00962, algorithm 2; optax).

    In Keras, the decay is outside.
    """

    def update_step(self, gradient, variable, learning_rate):
        rate, decay = self.rate_and_decay(variable, learning_rate)
        index = self._get_variable_index(variable)
        moments = self._momentums[index], self._velocities[index]
        gradient = ops.cast(gradient, variable.dtype)
        direction = _adam_direction(self, gradient, moments, (self.beta_1, self.beta_2))
        direction = direction + decay * variable
        size, length = (ops.sqrt(ops.sum(ops.square(x))) for x in (variable, direction))
        # A weight that starts from zero would never leave it.
        known = ops.logical_and(size > 0, length > 0)
        ratio = ops.where(known, size / ops.where(known, length, 1.0), 1.0)
        self.assign_sub(variable, rate * ratio * direction)


@keras.saving.register_keras_serializable("keras_vit")
class Lion(PerVariable, keras.optimizers.Lion):
    """Lion (arXiv 2302.06675): the sign of a momentum is the step."""


@keras.saving.register_keras_serializable("keras_vit")
class Adafactor(PerVariable, keras.optimizers.Adafactor):
    """Adafactor (arXiv 1804.04235): the rate is at most 1 / sqrt(step), times the weights' size.

    The kernels of queries, keys and values, which have three axes, are factored along the last two
    (optax: along the two largest; PyTorch, where they are matrices: along both).
    """


@keras.saving.register_keras_serializable("keras_vit")
class Muon(PerVariable, keras.optimizers.Muon):
    """Muon for the kernels of the blocks, AdamW elsewhere.

    Keras leaves kernels of three axes to AdamW, and with them all of the attention; here each one
    is the matrix that it stands for. Small matrices of one size go through the iteration together,
    for a graph of fewer operators.
    """

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        if not adam_kernel.runs_here():
            super()._backend_update_step(grads, trainable_variables, learning_rate)
            return
        matrices, others = [], []
        for pair in zip(grads, trainable_variables, strict=True):
            (others if self._should_use_adamw(pair[1]) else matrices).append(pair)
        gradients, variables = ([pair[i] for pair in others] for i in (0, 1))
        betas = self.adam_beta_1, self.adam_beta_2
        moments = self.momentums, self.adam_velocities
        adam_kernel.update(self, gradients, variables, learning_rate, betas, moments)
        self._move_matrices(self.decayed(*pair, learning_rate) for pair in matrices)

    def _adamw_update_step(self, gradient, variable, learning_rate, m, v):
        betas = self.adam_beta_1, self.adam_beta_2
        direction = _adam_direction(self, gradient, (m, v), betas)
        self.assign_sub(variable, learning_rate * direction)

    def _should_use_adamw(self, variable):
        return not re.match(r"block_\d+/.*/kernel$", variable.path)

    def _muon_update_step(self, gradient, variable, lr, m):
        self._move_matrices([(gradient, variable, lr)])

    def _move_matrices(self, steps):
        """Takes the step of each variable, given its gradient and its rate."""
        together = {}
        for gradient, variable, rate in steps:
            wide, turned = self._wide_matrix(gradient, variable)
            together.setdefault(wide.shape, []).append((wide, turned, variable, rate))
        for (rows, columns), members in together.items():
            count = max(1, _TOGETHER // (rows * columns))
            for first in range(0, len(members), count):
                self._move_some(members[first : first + count])

    def _wide_matrix(self, gradient, variable):
        """Moves the momentum; returns the matrix to orthogonalize and whether it is transposed."""
        index = self._get_variable_index(variable)
        m, path = self.momentums[index], self._trainable_variables[index].path
        self.assign(m, self.momentum * m + gradient)
        # query, key, value: (width, heads, size); attention_output: (heads, size, width).
        last = variable.shape[-1]
        matrix = (-1, last) if "/attention_output/" in path else (variable.shape[0], -1)
        matrix = ops.reshape(gradient + self.momentum * m, matrix)
        turned = matrix.shape[0] > matrix.shape[1]
        return ops.transpose(matrix) if turned else matrix, turned

    def _move_some(self, members):
        matrices = [wide for wide, *_ in members]
        alone = len(matrices) == 1  # without an axis of one, its products are faster
        made = matrices[0] if alone else ops.stack(matrices)  # (n, rows, columns)
        made = self.zeropower_via_newtonschulz5(made, self.ns_steps)
        for i, (_, turned, variable, rate) in enumerate(members):
            update = self.lr_adjust(rate * (made if alone else made[i]))
            update = ops.transpose(update) if turned else update
            self.assign_sub(variable, ops.reshape(update, variable.shape))


_CLASSES = {
    "adamw": AdamW,
    "adam": AdamW,
    "sgd": SGD,
    "lamb": Lamb,
    "lion": Lion,
    "muon": Muon,
    "adafactor": Adafactor,
}
_MUON_NAMES = {"beta_1": "adam_beta_1", "beta_2": "adam_beta_2"}


def make_optimizer(
    wanted: Optimizer,
    learning_rate,
    variables: Sequence[keras.Variable],
    accumulate: int = 1,
    head_first: int = 0,
) -> keras.optimizers.Optimizer:
    """Makes and builds the optimizer of a recipe.

    Args:
        wanted: numbers of the recipe.
        learning_rate: a schedule over updates, or a number.
        variables: the trainable variables, in the model's order.
        accumulate: batches whose gradients are averaged into one update.
        head_first: updates in which the head alone moves; see `PerVariable`.

    Returns:
        The optimizer, built: `fit` then traces the train step once and not twice, which halves the
        time to the first step.

    Raises:
        UserError: for a pattern that is found in no path, and where no head could be first.
    """
    if head_first and not any(in_head(variable.path) for variable in variables):
        raise UserError("schedule.head_first: this model has no head. Set it to none.")
    settings = wanted.settings
    if wanted.name == "muon":
        settings = {_MUON_NAMES.get(name, name): value for name, value in settings.items()}
    optimizer = _CLASSES[wanted.name](
        scales=scales_of(wanted, [variable.path for variable in variables]),
        l2=wanted.name == "adam",
        head_first=head_first,
        learning_rate=learning_rate,
        weight_decay=wanted.weight_decay,
        global_clipnorm=wanted.clip_norm,
        use_ema=wanted.ema is not None,
        ema_momentum=wanted.ema if wanted.ema is not None else 0.99,
        gradient_accumulation_steps=accumulate if accumulate > 1 else None,
        **settings,
    )
    optimizer.build(variables)
    return optimizer


def scales_of(wanted: Optimizer, paths: Sequence[str]) -> dict[str, tuple[float, float]]:
    """The factor of the learning rate and the weight decay of each variable.

    Args:
        wanted: numbers of the recipe.
        paths: those of all trainable variables of a model.
    """
    for pairs in (wanted.learning_rate_factors, wanted.weight_decay_factors):
        for pattern, _ in pairs:
            found(pattern, paths)
    layers = _layer_numbers(paths)
    last = max(layers.values(), default=0)
    scales = {}
    for path in paths:
        factor = _first_match(wanted.learning_rate_factors, path, 1.0)
        if wanted.layer_decay is not None:
            factor *= wanted.layer_decay ** (last - layers[path])
        decay = _first_match(wanted.weight_decay_factors, path, float(path.endswith("/kernel")))
        scales[path] = (factor, decay * wanted.weight_decay)
    return scales


def in_head(path: str) -> bool:
    """Whether a variable is part of what a new task replaces."""
    return path.partition("/")[0] in HEADS


def found(pattern: str, paths: Iterable[str]) -> list[str]:
    """The paths in which a pattern is found.

    Raises:
        UserError: when there are none, with examples of paths.
    """
    paths = list(paths)
    matching = [path for path in paths if re.search(pattern, path)]
    if not matching:
        raise UserError(
            f"the pattern {pattern!r} is found in no variable. Paths are like "
            f"{', '.join(paths[:: max(1, len(paths) // 4)][:4])}."
        )
    return matching


def _first_match(pairs, path: str, default: float) -> float:
    return next((value for pattern, value in pairs if re.search(pattern, path)), default)


def _layer_numbers(paths: Sequence[str]) -> dict[str, int]:
    """How deep each variable lies (arXiv 2106.08254): 0 for patches and positions, i + 1 in block
    i, and one more than the last block for what follows it."""
    blocks = {p: int(match[1]) + 1 for p in paths if (match := re.match(r"block_(\d+)/", p))}
    after = max(blocks.values(), default=0) + 1
    first = ("patch_encoder", "resnet_stem", "embedding_norm")
    return {p: blocks.get(p, 0 if p.startswith(first) else after) for p in paths}
