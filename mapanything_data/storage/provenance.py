"""What made a file: versions of this project and of the packages that matter, the git commit, the machine."""

from __future__ import annotations

import dataclasses
import enum
import json
import platform
import socket
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from mapanything_data.config.registry import component_name, is_component

PACKAGES = ("mapanything-data", "numpy", "hydra-core", "av", "opencv-python", "isal", "mujoco", "torch", "transformers")


def software_versions() -> dict[str, str]:
    """Versions of the installed packages whose behaviour shows in the data."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def git_commit() -> str | None:
    """The commit of the checkout that this code runs from, `-dirty` when files differ; None outside of a checkout."""
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()


def run_record(config: Any) -> dict[str, str]:
    """Files to keep with a run: `config.yaml`, resolved, and `provenance.json`.

    Args:
        config: The dataclass that the run was configured with.
    """
    provenance = {
        "command": sys.argv,
        "choices": _choices(config),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "git": git_commit(),
        "software": software_versions(),
    }
    return {
        "config.yaml": yaml.safe_dump(plain(config), sort_keys=False, allow_unicode=True),
        "provenance.json": json.dumps(provenance, indent=2, ensure_ascii=False) + "\n",
    }


def _choices(config: Any) -> dict[str, str]:
    """Which component was chosen for each group, such as source: video."""
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    return {name: component_name(value) for name, value in values.items() if is_component(value)}


def plain(value: Any) -> Any:
    """A configuration as dicts, lists, text and numbers."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return value
