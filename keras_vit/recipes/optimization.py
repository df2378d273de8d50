# SPDX-License-Identifier: MIT
"""The fields of a recipe that say how the weights move: optimizer and schedule."""

import dataclasses
import re
import warnings

from keras_vit.errors import UserError
from keras_vit.untrusted import schema
from keras_vit.untrusted.fields import check_fields, within

# The fields that act on one optimizer and not on all, with their defaults.
OPTIMIZERS: dict[str, dict[str, float | bool]] = {
    "adamw": {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8},
    "adam": {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8},
    "sgd": {"momentum": 0.9, "nesterov": False},
    "lamb": {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-6},
    "lion": {"beta_1": 0.9, "beta_2": 0.99},
    "muon": {"momentum": 0.95, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8},
    "adafactor": {},
}
SCHEDULES = ("cosine", "linear", "rsqrt", "constant")

Factors = tuple[tuple[str, float], ...]


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """How a gradient becomes a step.

    Patterns are regular expressions that are searched for in a variable's path, such as
    `block_03/attention/query/kernel`; one that is found nowhere is an error.

    Attributes:
        name: "adamw" (arXiv 1711.05101), "adam" (arXiv 1412.6980, its weight decay an L2 penalty:
            added to the gradient), "sgd" with momentum, "lamb" (arXiv 1904.00962), "lion" (arXiv
            2302.06675), "muon" (arXiv 2502.16982: the kernels of the blocks, each as one matrix;
            AdamW elsewhere) or "adafactor" (arXiv 1804.04235).
        learning_rate: the peak, after warm-up; None where a rule chooses it (`Recipe.by_rule`).
        weight_decay: what is multiplied by the learning rate and the weight and subtracted at each
            step. It acts on kernels only: no bias, norm, token, probe or position. big_vision
            writes the product: its 1e-4 at a rate of 1e-3 is 0.1 here.
        beta_1: decay of the first moment (adamw, adam, lamb, lion, muon); None for the default of
            the optimizer, 0.9.
        beta_2: decay of the second moment (adamw, adam, lamb, muon: 0.999; lion: 0.99).
        epsilon: added to the root of the second moment after the correction of its bias, as in the
            papers, PyTorch and optax (adamw, adam, muon: 1e-8; lamb: 1e-6).
        momentum: share of the last step in the next (sgd: 0.9; muon: 0.95).
        nesterov: whether sgd looks ahead by one step of its momentum (no; muon always does).
        clip_norm: norm of all gradients together above which they are scaled down; None for no
            clipping.
        ema: momentum of an average of the weights that is evaluated and saved instead of them, or
            None. After the first step the average equals the weights.
        layer_decay: factor of the learning rate from each layer to the one before it, counted from
            the head (arXiv 2106.08254, appendix); 1 for one rate, and so None, but where a rule
            chooses it (`Recipe.by_rule`). It protects what a checkpoint knows: without `init` it is
            dropped.
        learning_rate_factors: pairs of a pattern and a factor; the first pattern found in a path
            counts.
        weight_decay_factors: pairs of a pattern and a factor, instead of 1 for kernels and 0 for
            all else.
        freeze: pattern of the variables that stay as they are, or None.
    """

    name: str = "adamw"
    learning_rate: float | None = 1e-3
    weight_decay: float = 0.1
    beta_1: float | None = None
    beta_2: float | None = None
    epsilon: float | None = None
    momentum: float | None = None
    nesterov: bool | None = None
    clip_norm: float | None = 1.0
    ema: float | None = None
    layer_decay: float | None = None
    learning_rate_factors: Factors = ()
    weight_decay_factors: Factors = ()
    freeze: str | None = None

    def __post_init__(self) -> None:
        for name in ("learning_rate_factors", "weight_decay_factors"):
            object.__setattr__(self, name, _factors(name, getattr(self, name)))
        check_fields(self, _OPTIMIZER_BOUNDS, {"name": tuple(OPTIMIZERS)}, "optimizer.")
        for name in ("beta_1", "beta_2", "epsilon", "momentum", "nesterov"):
            value = getattr(self, name)
            if value is None:
                continue
            if name not in OPTIMIZERS[self.name]:
                owners = [owner for owner, fields in OPTIMIZERS.items() if name in fields]
                raise UserError(
                    f"optimizer.{name}: {self.name} has none; it belongs to {', '.join(owners)}. "
                    f"Set optimizer.{name}=none, or optimizer.name first."
                )
        if self.freeze is not None:
            _pattern("optimizer.freeze", self.freeze)

    @property
    def settings(self) -> dict[str, float | bool]:
        """The fields that this optimizer alone has, with its defaults filled in."""
        return {
            name: default if getattr(self, name) is None else getattr(self, name)
            for name, default in OPTIMIZERS[self.name].items()
        }


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Linear warm-up to the peak, a way down, and a linear cool-down.

    A length is `"10000 steps"`, `"5 epochs"` or a share of the run such as `"0.05"`; a step is an
    update of the weights.

    Attributes:
        kind: "cosine" (arXiv 1608.03983), "linear", "rsqrt" (the reciprocal square root: peak times
            sqrt(warm-up / step), arXiv 2106.04560) or "constant".
        warmup: length of the warm-up.
        start: learning rate of the first step, as a share of the peak, 0 to 1.
        final: learning rate at the end, as a share of the peak, 0 to 1; "rsqrt" and "constant" go
            there in the cool-down alone.
        cooldown: length of the straight line at the end, from where the way down arrives to
            `final`. Cosine and linear have arrived by then, and stay.
        head_first: length for which the head alone is trained, from the first step on; then the
            rates of all else grow linearly from 0 to the schedule's over as long again. None for no
            such part, or where a rule chooses it (`Recipe.by_rule`).
        overlap: whether the way down counts from the first step, its beginning hidden by the
            warm-up (timm, DeiT), or from the end of the warm-up (big_vision, the paper).
    """

    kind: str = "cosine"
    warmup: str = "5 epochs"
    start: float = 0.0
    final: float = 0.0
    cooldown: str = "0 steps"
    overlap: bool = False
    head_first: str | None = None

    def __post_init__(self) -> None:
        for name in ("warmup", "cooldown", "head_first"):
            if isinstance(getattr(self, name), int | float):
                object.__setattr__(self, name, str(getattr(self, name)))
        check_fields(self, _SCHEDULE_BOUNDS, {"kind": SCHEDULES}, "schedule.")
        lengths = ("warmup", "cooldown", *(["head_first"] if self.head_first is not None else []))
        for name in lengths:
            _amount_and_unit(f"schedule.{name}", getattr(self, name))
        if self.kind == "rsqrt" and not _amount_and_unit("warmup", self.warmup)[0]:
            raise UserError("schedule.warmup: kind='rsqrt' needs a warm-up, it sets its scale.")


_JUST_BELOW_1 = 0.999999
_OPTIMIZER_BOUNDS = {
    "learning_rate": (0, 1e3),
    "weight_decay": (0, 1e3),
    "beta_1": (0, _JUST_BELOW_1),
    "beta_2": (0, _JUST_BELOW_1),
    "epsilon": (0, 1),
    "momentum": (0, _JUST_BELOW_1),
    "clip_norm": (1e-9, 1e9),
    "ema": (0, 1),
    "layer_decay": (0, 1),
}
_SCHEDULE_BOUNDS = {"start": (0, 1), "final": (0, 1)}
_LONGEST = 1e12  # steps, epochs
_PATTERN = 1000  # characters


def steps_of(length: str, steps_per_epoch: float, total: int) -> int:
    """A length of a `Schedule` in steps, of a run of `total` steps."""
    amount, unit = _amount_and_unit("length", length)
    return round(amount * {"step": 1, "epoch": steps_per_epoch, "share": total}[unit])


def _amount_and_unit(name: str, length: str) -> tuple[float, str]:
    match = len(length) < 40 and re.fullmatch(
        r"(\d[\d_]*\.?\d*(?:e\d+)?)\s*(?:(step|epoch)s?)?", length.strip()
    )
    amount, unit = (float(match[1]), match[2] or "share") if match else (2, "share")
    if (unit == "share" and amount > 1) or amount > _LONGEST:
        raise UserError(
            f"{name}: expected a length as in '10000 steps', '5 epochs' or, as a share of the run, "
            f"'0.05', received {schema.shown(length)}."
        )
    return amount, unit


def _factors(name: str, pairs) -> Factors:
    try:
        pairs = tuple((str(pattern), float(factor)) for pattern, factor in pairs)
    except (TypeError, ValueError, OverflowError):
        raise UserError(
            f"{name}: expected pairs of a pattern and a factor, as in (('head', 10.0),), "
            f"received {schema.shown(pairs)}."
        ) from None
    for pattern, factor in pairs:
        _pattern(f"optimizer.{name}", pattern)
        within(f"optimizer.{name}", factor, 0, 1e6)
    return pairs


def _pattern(name: str, pattern: str) -> None:
    try:
        if len(pattern) > _PATTERN:
            raise UserError(f"{name}: expected a pattern of at most {_PATTERN:,} characters.")
        with warnings.catch_warnings():
            # Python warns of patterns that a later version reads otherwise, such as "[[".
            warnings.simplefilter("error", FutureWarning)
            re.compile(pattern)
    except (re.error, OverflowError, RecursionError, FutureWarning) as error:
        raise UserError(
            f"{name}: {schema.shown(pattern)} is no regular expression: {error}."
        ) from None
