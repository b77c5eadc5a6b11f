"""Which experiments are for which app: an experiment overrides choices, and the app must have their groups."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from mapanything_data.config.locate import CONFIG_DIR


def experiments_for(app: str) -> list[str]:
    """Names of the experiments that an app can run.

    Args:
        app: Name of its YAML file, such as `tracks`.
    """
    groups = {
        name
        for file in (CONFIG_DIR / "base.yaml", CONFIG_DIR / f"{app}.yaml")
        for entry in _defaults(file)
        if isinstance(entry, dict)
        for name in entry
    }
    if "experiment" not in groups:
        return []
    return sorted(file.stem for file in (CONFIG_DIR / "experiment").glob("*.yaml") if fits(file, groups))


def fits(experiment: Path, groups: Collection[str]) -> bool:
    """Whether each group that the file of an experiment overrides is one of those."""
    keys = (key for entry in _defaults(experiment) if isinstance(entry, dict) for key in entry)
    return all(key.removeprefix("override /") in groups for key in keys if key.startswith("override /"))


def _defaults(file: Path) -> list[Any]:
    from omegaconf import OmegaConf

    values: Any = OmegaConf.to_container(OmegaConf.load(file))
    return list(values.get("defaults") or []) if isinstance(values, dict) else []
