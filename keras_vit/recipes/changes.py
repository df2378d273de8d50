# SPDX-License-Identifier: MIT
"""What somebody wants otherwise than a recipe has it, and where each value then comes from."""

import dataclasses
from typing import Any

from keras_vit.errors import UserError
from keras_vit.recipes.edit import merge, override
from keras_vit.recipes.schema import Recipe
from keras_vit.untrusted import reading


@dataclasses.dataclass(frozen=True)
class Changes:
    """Changes of a recipe, in the words of `keras-vit train`; None and () change nothing.

    They are made in this order, so that a later one has the last word.

    Attributes:
        config: a JSON file with fields of the recipe, in the shape of a run's `recipe.json`.
        init: where the weights come from.
        assignments: as for `override`: `"epochs=2"`.
        source, data_dir, on_bad: see `keras_vit.recipes.Data`.
    """

    config: str | None = None
    init: str | None = None
    assignments: tuple[str, ...] = ()
    source: str | None = None
    data_dir: str | None = None
    on_bad: str | None = None

    @property
    def assigned(self) -> list[str]:
        """The fields that `assignments` names."""
        return [assignment.partition("=")[0].strip() for assignment in self.assignments]

    def apply(self, recipe: Recipe) -> Recipe:
        """Returns the changed recipe.

        Raises:
            UserError: for a field, a value or a file that cannot be.
        """
        return self.steps(recipe)[-1][1]

    def steps(self, recipe: Recipe) -> list[tuple[str, Recipe]]:
        """What becomes of a recipe, change by change, each with its flag; as `explain` takes it."""
        steps = []
        if self.config is not None:
            recipe = self._merged(recipe, self.config)
            steps.append(("--config", recipe))
        if self.init is not None:
            recipe = dataclasses.replace(recipe, init=self.init)
            steps.append(("--init", recipe))
        recipe = override(recipe, *self.assignments)
        steps.append(("--set", recipe))
        data = {"source": self.source, "data_dir": self.data_dir, "on_bad": self.on_bad}
        given: dict[str, Any] = {name: value for name, value in data.items() if value}
        recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, **given))
        return [*steps, ("flag", recipe)]

    def check_same(self, recipe: Recipe, run: str) -> None:
        """Raises a `UserError` that names each field which they would change in a run's recipe.

        Args:
            recipe: that of the run.
            run: its folder, for the message.
        """
        asked = self.apply(recipe)
        if asked == recipe:
            return
        before = {name: value for name, value, _ in explain(recipe)}
        rows = [row for row in explain(recipe, ("flags", asked)) if row[2] == "flags"]
        differing = ", ".join(f"{name} is {before.get(name)}, not {new}" for name, new, _ in rows)
        raise UserError(
            f"--resume {run}: its recipe says otherwise than the flags: {differing}. Leave the "
            "flags out, or leave --resume out to start a new run."
        )

    @staticmethod
    def _merged(recipe: Recipe, file: str) -> Recipe:
        try:
            return merge(recipe, reading.read_json(file, dict[str, Any]))
        except UserError as error:
            said = str(error).removeprefix(f"{file}: ")
            raise UserError(f"--config {file}: {said}") from error


def explain(recipe: Recipe, *changed: tuple[str, Recipe]) -> list[tuple[str, str, str]]:
    """Every value of a recipe with its origin.

    Args:
        recipe: as its function returns it.
        *changed: what became of it, step by step, each with the name of what changed it, e.g.
            `("--config", merged), ("--set", overridden)`.

    Returns:
        Rows (field, value, origin) for the last of the recipes, with fields as `--set` names them.
        The origin is "default", "recipe", or the name of the last step that changed the value.
    """
    steps = [("recipe", recipe), *changed]
    tables = [(origin, _flat(step)) for origin, step in steps]
    last = tables[-1][1]
    rows = []
    for name, (value, default) in last.items():
        origin, before = "default", default
        for step, table in tables:
            now = table.get(name, (None, None))[0]
            if now != before:
                origin, before = step, now
        rows.append((name, str(value), origin))
    return rows


def _flat(node: Any, prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """(value, default) of each field that has none of its own."""
    flat: dict[str, tuple[Any, Any]] = {}
    for field in dataclasses.fields(node):
        value, default = getattr(node, field.name), field.default
        if dataclasses.is_dataclass(value):
            flat |= _flat(value, f"{prefix}{field.name}.")
        else:
            flat[prefix + field.name] = (value, default)
    return flat
