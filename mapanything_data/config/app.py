"""Turns a stage function into a command with typed configuration, help and readable errors."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar, get_type_hints

from mapanything_data.config.locate import CONFIG_DIR
from mapanything_data.config.quoting import quote_override
from mapanything_data.config.registry import import_components
from mapanything_data.errors import UserError

EXIT_REFUSED = 2
"""The configuration or the input was refused before or while work was done."""

ConfigT = TypeVar("ConfigT")


def app(stage: Callable[[ConfigT], int]) -> Callable[[], NoReturn]:
    """Make the command for a stage.

    Args:
        stage: A function `stage(config: SomeDataclass) -> exit code`. Its name is the name of its YAML file in
            `configs/`, its docstring becomes the help text, the dataclass of its parameter is the schema of the whole
            configuration.

    Returns:
        A `main()` that reads `sys.argv` and leaves with the exit code.
    """

    def main() -> NoReturn:
        arguments = sys.argv[1:] = [quote_override(argument) for argument in _flags_first(sys.argv[1:])]
        try:
            if _wants_help(arguments):
                from mapanything_data.config.help import print_help

                print_help(stage, _schema_of(stage), arguments)
                sys.exit(0)
            sys.exit(_run(stage))
        except UserError as error:
            _tell(error)
            sys.exit(EXIT_REFUSED)
        except KeyboardInterrupt:  # before any work began; the engine deals with the rest
            sys.exit(128 + signal.SIGINT)

    return main


def register_schemas(stage: Callable[..., int]) -> None:
    """Hand the schemas of all components and of the stage's configuration to Hydra."""
    from hydra.core.config_store import ConfigStore

    store = ConfigStore.instance()
    for (group, name), cls in import_components().items():
        store.store(group=f"schema/{group}", name=name, node=cls)
    store.store(group="schema/app", name=stage.__name__, node=_schema_of(stage))


def program_of(stage: Callable[..., int]) -> str:
    """What stands behind `python -m`: the app of a stage has its name and lies at the top of its package."""
    return f"{stage.__module__.partition('.')[0]}.{stage.__name__}"


def hydra_version_base() -> dict[str, str]:
    """The `version_base` argument where Hydra still has one (below 1.4)."""
    import hydra

    major, minor = (int(part) for part in hydra.__version__.split(".")[:2])
    return {"version_base": "1.3"} if (major, minor) < (1, 4) else {}


def _run(stage: Callable[[Any], int]) -> int:
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from mapanything_data.config.build import build
    from mapanything_data.config.explain import explain

    register_schemas(stage)
    exit_codes: list[int] = []

    def job(config: Any) -> None:
        try:
            if HydraConfig.get().mode is RunMode.MULTIRUN and "output_dir" in config:
                # The runs of a sweep would otherwise write into one folder.
                config.output_dir = f"{config.output_dir}/{HydraConfig.get().job.num}"
            code = stage(build(config))
        except Exception as error:  # noqa: BLE001 - whatever it is, the user gets a message and not a traceback
            explained = explain(error, program_of(stage))
            explained.__cause__ = None if explained is error else error
            _tell(explained)
            code = EXIT_REFUSED
        exit_codes.append(code)
        if code and HydraConfig.get().mode is RunMode.MULTIRUN:
            raise SweepJobFailedError(f"exit code {code}")  # the only word that every launcher carries back

    # Hydra would print its own rendering of an error and leave; with this it lets us have the error.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    command = hydra.main(config_path=str(CONFIG_DIR), config_name=stage.__name__, **hydra_version_base())(job)
    try:
        command()
    except SweepJobFailedError:
        return max(exit_codes, default=1) or 1
    except Exception as error:
        raise explain(error, program_of(stage)) from error
    return max(exit_codes, default=0)


class SweepJobFailedError(Exception):
    """A job of a sweep left with an exit code above 0."""


def _schema_of(stage: Callable[..., int]) -> type:
    hints = get_type_hints(stage)
    hints.pop("return")
    (schema,) = hints.values()
    assert isinstance(schema, type)
    return schema


def _flags_first(arguments: Sequence[str]) -> list[str]:
    """With the sweep's flag before the overrides: behind them, argparse takes what follows it for unknown."""
    return sorted(arguments, key=lambda argument: argument not in ("-m", "--multirun"))


def _wants_help(arguments: Sequence[str]) -> bool:
    return "--help" in arguments or "-h" in arguments


def _tell(error: UserError) -> None:
    if os.environ.get("MAPANYTHING_TRACEBACK"):
        traceback.print_exception(error)
    print(f"error: {error}", file=sys.stderr)  # noqa: T201 - this is the command line
