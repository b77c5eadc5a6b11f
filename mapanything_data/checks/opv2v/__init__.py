"""Checks of `dataset=opv2v`: names, annotations, pictures, clouds, depth maps, and whether agents agree."""

from __future__ import annotations

from mapanything_data.checks.opv2v.checks import Checks

__all__ = ["Checks"]
