"""Checks of `dataset=droid`: whether what `tracks` made is whole, agrees with itself, and can be trusted."""

from __future__ import annotations

from mapanything_data.checks.droid.checks import Checks

__all__ = ["Checks"]
