"""The page that `--help` prints: what the app does, its groups with their choices, every option with its meaning."""

from __future__ import annotations

import inspect
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from mapanything_data.config.experiments import fits
from mapanything_data.config.locate import CONFIG_DIR
from mapanything_data.config.registry import field_docs, import_components, summary_line

_INTERNAL_GROUPS = {"hydra", "local"}


def print_help(stage: Callable[..., int], schema: type, arguments: Sequence[str]) -> None:
    """Print the help page of a stage for the choices that the arguments make.

    Raises:
        ConfigError: The arguments do not compose.
    """
    from hydra import compose, initialize_config_dir

    from mapanything_data.config.app import hydra_version_base, program_of, register_schemas
    from mapanything_data.config.explain import explain

    register_schemas(stage)
    own_folder = _config_dir_argument(arguments)
    overrides = [argument for argument in arguments if "=" in argument and not argument.startswith("-")]
    if own_folder:
        overrides.append(f"hydra.searchpath=[file://{Path(own_folder).resolve()}]")
    try:
        with initialize_config_dir(config_dir=str(CONFIG_DIR), job_name=stage.__name__, **hydra_version_base()):
            composed = compose(config_name=stage.__name__, overrides=overrides, return_hydra_config=True)
            chosen = dict(composed.hydra.runtime.choices)
    except Exception as error:
        raise explain(error, program_of(stage)) from error
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    lines = [
        inspect.getdoc(stage) or "",
        "",
        f"usage: python -m {program_of(stage)} [GROUP=CHOICE ...] [OPTION=VALUE ...]",
        "",
        "Groups and their choices (* is chosen now):",
        *_describe_groups(chosen, own_folder, width),
        "",
        "Options with these choices (name, value, meaning):",
        *_describe_options(composed, schema, width),
        "",
        "More:",
        "  --cfg job          show the composed configuration; add --resolve to follow ${...}",
        "  -m, --multirun     one run for each combination of comma-separated values",
        "  --config-dir DIR   add your own groups and choices from DIR",
        "  --hydra-help       flags of the configuration framework itself",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


def _config_dir_argument(arguments: Sequence[str]) -> str | None:
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if argument in ("--config-dir", "-cd"):
            return following
        if argument.startswith("--config-dir="):
            return argument.partition("=")[2]
    return None


def _describe_groups(chosen: Mapping[str, str], own_folder: str | None, width: int) -> Iterator[str]:
    folders = [CONFIG_DIR, *([Path(own_folder)] if own_folder else [])]
    files = {(file.parent.name, file.stem): file for folder in folders for file in folder.glob("*/*.yaml")}
    components = import_components()
    for (group, name), file in sorted(files.items()):
        for_another_app = group == "experiment" and not fits(file, chosen)
        if group in chosen and group not in _INTERNAL_GROUPS and not for_another_app:
            text = _leading_comment(file)
            if not text and (group, name) in components:
                text = summary_line(components[group, name])
            yield from _entry(f"{group}={name}{' *' if chosen[group] == name else ''}", text, 26, width)


def _leading_comment(file: Path) -> str:
    """What a YAML file says of itself, for choices that are values and not classes."""
    lines = takewhile(lambda line: line.startswith("#"), file.read_text(encoding="utf-8").splitlines())
    return " ".join(line[1:].strip() for line in lines if "@package" not in line)


def _describe_options(node: Any, schema: Any, width: int, prefix: str = "") -> Iterator[str]:
    from omegaconf import DictConfig, OmegaConf

    for name, doc in field_docs(schema).items():
        child = node._get_node(name)
        child_schema = OmegaConf.get_type(child) if isinstance(child, DictConfig) else None
        if hasattr(child_schema, "__dataclass_fields__"):
            yield from _describe_options(child, child_schema, width, f"{prefix}{name}.")
        elif isinstance(child, DictConfig) and _components_in(child):
            components = _components_in(child)
            yield from _entry(f"{prefix}{name}=", f"{doc} Here: {', '.join(components)}.", 42, width)
            for key, schema_of_key in components.items():
                yield from _describe_options(child._get_node(key), schema_of_key, width, f"{prefix}{name}.{key}.")
        else:
            yield from _entry(f"{prefix}{name}={_show(child)}", doc, 42, width)


def _components_in(node: Any) -> dict[str, Any]:
    """The dataclasses among the values of a mapping, such as the parts of a mixture."""
    from omegaconf import DictConfig, OmegaConf

    if node._is_none() or node._is_missing():
        return {}
    children = {str(key): node._get_node(key) for key in node}
    schemas: dict[str, Any] = {
        key: OmegaConf.get_type(child) for key, child in children.items() if isinstance(child, DictConfig)
    }
    return {key: schema for key, schema in schemas.items() if hasattr(schema, "__dataclass_fields__")}


def _show(node: Any) -> str:
    from omegaconf import OmegaConf

    if node._is_missing():
        return "???"
    value = OmegaConf.to_container(node, resolve=False) if OmegaConf.is_config(node) else node._value()
    if value is None:
        return "null"
    return (
        str(getattr(value, "value", value)).lower() if isinstance(value, bool) else str(getattr(value, "value", value))
    )


def _entry(label: str, text: str, column: int, width: int) -> Iterator[str]:
    wrapped = textwrap.wrap(text, width - column - 2) or [""]
    if len(label) + 2 < column:
        yield f"  {label.ljust(column - 2)}{wrapped[0]}"
    else:
        yield f"  {label}"
        yield " " * column + wrapped[0]
    yield from (" " * column + line for line in wrapped[1:])
