# SPDX-License-Identifier: MIT
"""What happens when it is needed: names that import their module (PEP 562), and what follows an
import."""

import importlib
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any


def attributes(
    package: str, home: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Makes the `__getattr__` and the `__dir__` of a package.

    Args:
        package: its full name.
        home: public name -> the module, below the package, that defines it; "" for the names that
            are modules themselves.
    """

    sys.modules[package].__class__ = _package_with(home)

    def load(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if not home[name]:
            return importlib.import_module(f"{package}.{name}")
        return getattr(importlib.import_module(f"{package}.{home[name]}"), name)

    return load, lambda: sorted(home)


def _package_with(home: Mapping[str, str]) -> type[ModuleType]:
    """A class of package in which a public name is never hidden by the module it is called after.

    Python binds each imported module in its package: `training.train` would be a function until
    `training/train.py` is imported, and then that module.
    """

    class Package(ModuleType):
        def __setattr__(self, name: str, value: Any) -> None:
            if not (isinstance(value, ModuleType) and home.get(name)):
                super().__setattr__(name, value)

    return Package


def after_import(name: str, then: Callable[[], None]) -> None:
    """Calls a function as soon as a module has been imported: at once if it is there already.

    Args:
        name: of a top-level module that takes long to import, e.g. `"keras"`.
        then: takes no time and imports nothing: it runs while other threads wait for the module,
            maybe with locks of ours in their hands.
    """
    if sys.modules.get(name) is not None:  # None is a module that must not be imported
        importlib.import_module(name)  # another thread may be in the middle of it: wait
        then()
    else:
        sys.meta_path.insert(0, _Finder(name, then))


class _Finder:
    """Lets the other finders find one module, and adds to its loader what is to follow."""

    def __init__(self, name: str, then: Callable[[], None]):
        self.name = name
        self.then = then

    def find_spec(self, name: str, path=None, target=None):
        if name != self.name:
            return None
        for finder in [finder for finder in sys.meta_path if finder is not self]:
            spec = finder.find_spec(name, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _Loader(spec.loader, self)  # type: ignore[assignment]
                return spec
        return None


class _Loader:
    """Loads a module as its own loader does, then does what is to follow."""

    def __init__(self, loader: Any, finder: _Finder):
        self.loader = loader
        self.finder = finder

    def create_module(self, spec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # From here on the module looks as if nobody had been in between.
        module.__loader__ = self.loader
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        if self.finder in sys.meta_path:
            sys.meta_path.remove(self.finder)
        self.finder.then()
