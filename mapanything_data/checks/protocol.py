"""What `check` needs of a dataset: a module `checks/{dataset name}.py` with a class `Checks(dataset)` as described.

`dataset` is the component that the configuration selected, with its root and its other options.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

from mapanything_data.checks.finding import Finding

Progress: TypeAlias = "Callable[[float], None]"
"""Tells how much of an item is checked, 0 to 1. Cheap: call it as often as you like."""


class DatasetChecks(Protocol):
    """The checks of one data set on disk. Pickled when items are checked in other processes."""

    def item_names(self) -> Sequence[str]:
        """The parts that are checked one by one, such as segments; without any, nothing is written.

        Raises:
            DataError: There is no data set of this kind.
        """

    def files(self, item: str) -> Iterable[Path]:
        """The files that the findings about an item depend on; when they are unchanged, it is not checked again."""

    def check_item(self, item: str, progress: Progress) -> list[Finding]:
        """What is wrong with one item."""

    def check_whole(self) -> list[Finding]:
        """What is wrong between items or beside them; quick, asked in every run."""


@runtime_checkable
class Describes(Protocol):
    """Checks that can tell what there is from names alone, which `check quick=true` shows."""

    def describe(self) -> str:
        """A table of what the data set holds, found within seconds."""
