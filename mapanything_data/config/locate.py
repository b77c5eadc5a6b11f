"""Where the YAML files are."""

from __future__ import annotations

from pathlib import Path


def find_config_dir() -> Path:
    """The wheel's own copy of the configs, or else the checkout's."""
    package = Path(__file__).resolve().parents[1]
    candidates = (package / "configs", package.parent / "configs")
    return next((folder for folder in candidates if folder.is_dir()), candidates[0])


CONFIG_DIR = find_config_dir()
