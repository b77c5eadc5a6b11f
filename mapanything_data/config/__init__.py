"""Composes configurations; the only package that imports Hydra, and only once an app starts.

@component("source", "video")            registers a dataclass under its group and name
main = app(capture)                      turns `capture(config: CaptureConfig) -> int` into a command
"""

from mapanything_data.config.app import app
from mapanything_data.config.locate import CONFIG_DIR
from mapanything_data.config.registry import component

__all__ = ["CONFIG_DIR", "app", "component"]
