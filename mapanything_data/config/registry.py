"""Components: dataclasses that a configuration selects by group and name."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, TypeVar

_component_packages = [
    "mapanything_data.config.groups",
    "mapanything_data.datasets",
    "mapanything_data.engine.executors",
    "mapanything_data.labelers",
    "mapanything_data.sources",
    "mapanything_data.storage",
]

T = TypeVar("T")
_registry: dict[tuple[str, str], type] = {}


def add_component_packages(*packages: str) -> None:
    """Name packages with components of their own, as another package does that builds on this one.

    Every module directly inside them is imported when an app starts, so that its components register. They must be
    light: what is heavy is imported where it is used.
    """
    _component_packages.extend(package for package in packages if package not in _component_packages)


def component(group: str, name: str) -> Callable[[type[T]], type[T]]:
    """Register a dataclass as the schema of `group=name`.

    The file `configs/{group}/{name}.yaml` starts from it with `defaults: [/schema/{group}/{name}@_here_, _self_]`.

    Raises:
        TypeError: The class is not a dataclass, or the name is taken.
    """

    def register(cls: type[T]) -> type[T]:
        if not is_dataclass(cls):
            raise TypeError(f"component {group}={name}: {cls.__name__} must be a dataclass")
        known = _registry.get((group, name))
        if known is not None and known.__qualname__ != cls.__qualname__:
            raise TypeError(f"component {group}={name} is already {known.__module__}.{known.__qualname__}")
        _registry[group, name] = cls
        return cls

    return register


def import_components() -> dict[tuple[str, str], type]:
    """Import every component module; returns the classes by (group, name)."""
    for package in _component_packages:
        for module in iter_modules(import_module(package).__path__):
            import_module(f"{package}.{module.name}")
    return dict(_registry)


def is_component(instance: Any) -> bool:
    """Whether the object's class was registered."""
    return type(instance) in _registry.values()


def component_name(instance: Any) -> str:
    """The name under which the class of a component was registered, such as `video`.

    Raises:
        KeyError: The object is no component.
    """
    return next(name for (_, name), cls in _registry.items() if cls is type(instance))


def summary_line(cls: type) -> str:
    """The first sentence of a class's docstring."""
    return (inspect.getdoc(cls) or "").partition("\n\n")[0].replace("\n", " ")


def field_docs(cls: type) -> dict[str, str]:
    """The docstring under each field of a dataclass, in the order of the fields."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if is_dataclass(base):
            docs.update(_own_field_docs(base))
    return {field.name: docs.get(field.name, "") for field in fields(cls)}


def _own_field_docs(cls: type) -> dict[str, str]:
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(definition, ast.ClassDef)
    docs = {}
    for statement, following in zip(definition.body, definition.body[1:], strict=False):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
        ):
            docs[statement.target.id] = inspect.cleandoc(str(following.value.value)).replace("\n", " ")
    return docs
