"""What every stage does at its end: run the work, say what came of it, return the exit code."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from mapanything_data.config.registry import component_name, import_components
from mapanything_data.engine import RunOptions, Summary, run
from mapanything_data.engine.executor import Executor
from mapanything_data.engine.run import StoppedBySignal
from mapanything_data.engine.work import AnyWork
from mapanything_data.errors import ConfigError
from mapanything_data.storage.provenance import run_record


def execute(work: AnyWork, executor: Executor, config: RunOptions) -> Summary:
    """Run the work, print its summary, and leave the program when a signal stopped it.

    Args:
        work: What to do.
        executor: Where to do it.
        config: The configuration of the stage, which is saved with the run.

    Raises:
        UserError: The run was refused or cannot go on.
        SystemExit: Ctrl-C or SIGTERM stopped it; the code is what a shell expects.
    """
    try:
        summary = run(work, executor, config, run_record(config))
    except StoppedBySignal as stop:
        if stop.summary:
            say(str(stop.summary))
        say(f"{work.name}: stopped by {stop}; the same command goes on from here")
        raise SystemExit(stop.exit_code) from None
    say(str(summary))
    return summary


def say(text: str) -> None:
    """Print for the person at the terminal."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def folder_of(dataset: Any) -> Path:
    """The root of a dataset component as an absolute path.

    Raises:
        ConfigError: It is empty, or a file.
    """
    root = absolute_path("dataset.root", dataset.root)
    if root.is_file():
        raise ConfigError("dataset.root", f"{root} is a file", expected="a folder", remedy="give the folder it lies in")
    return root


def require_choice(group: str, component: Any, *kinds: type) -> None:
    """Make sure that a component is of a kind that the stage works with.

    Args:
        group: Its group, such as `source`.
        component: What was chosen.
        kinds: Component classes (themselves, not what inherits from them) or protocols.

    Raises:
        ConfigError: It is of another kind; names the choices that will do.
    """

    def fits(cls: type) -> bool:
        return cls in kinds or any(_has_members_of(kind, cls) for kind in kinds if getattr(kind, "_is_protocol", False))

    if not fits(type(component)):
        choices = sorted(name for (of, name), cls in import_components().items() if of == group and fits(cls))
        raise ConfigError(
            f"{group}={component_name(component)}",
            "is not for this app",
            expected=" or ".join(f"{group}={name}" for name in choices),
            remedy="choose one of these",
        )


def _has_members_of(protocol: type, cls: type) -> bool:
    """What `issubclass` says, which refuses protocols that have attributes."""
    members = {*vars(protocol), *getattr(protocol, "__annotations__", {})}
    return all(hasattr(cls, name) for name in members if not name.startswith("_"))


def module_of_dataset(package: str, dataset: str, what: str) -> ModuleType:
    """The module of a room that belongs to a dataset, such as checks/opv2v.py.

    Raises:
        ConfigError: There is none; names the datasets that have one.
    """
    room = f"mapanything_data.{package}"
    try:
        return import_module(f"{room}.{dataset}")
    except ModuleNotFoundError as error:
        if error.name != f"{room}.{dataset}":
            raise
        modules = {module.name for module in iter_modules(import_module(room).__path__)}
        others = [
            f"dataset={name}" for group, name in sorted(import_components()) if group == "dataset" and name in modules
        ]
        raise ConfigError(
            f"dataset={dataset}",
            f"has no {what}",
            expected=" or ".join(others),
            remedy=f"choose one of these, or write mapanything_data/{package}/{dataset}.py (see docs/extending.md)",
        ) from error


def absolute_path(key: str, text: str) -> Path:
    """The folder that an option names.

    Raises:
        ConfigError: The option is empty, as when a shell variable is not set.
    """
    if not text.strip():
        raise ConfigError(key, "is empty", expected="a folder", remedy=f"give {key}=FOLDER; '.' is the current folder")
    return Path(text).expanduser().absolute()
