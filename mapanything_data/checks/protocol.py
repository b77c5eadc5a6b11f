"""What `check` needs of a dataset: a module `checks/{dataset name}.py` with a class `Checks(root)` as described."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from mapanything_data.checks.finding import Finding


class DatasetChecks(Protocol):
    """The checks of one data set on disk."""

    def item_names(self) -> Sequence[str]:
        """The parts that are checked one by one, such as segments.

        Raises:
            DataError: There is no data set of this kind.
        """

    def files(self, item: str) -> Iterable[Path]:
        """The files that the findings about an item depend on; when they are unchanged, it is not checked again."""

    def check_item(self, item: str) -> list[Finding]:
        """What is wrong with one item."""

    def check_whole(self) -> list[Finding]:
        """What is wrong between items or beside them; quick, asked in every run."""
