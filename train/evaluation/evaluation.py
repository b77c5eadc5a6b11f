"""What an evaluation found: a row for each sample, means over all or over groups of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from mapanything_data.datasets.samples import BrokenSample
from train.views.inputs import Input

Image: TypeAlias = NDArray[np.uint8]
"""[H, W, 3] uint8 RGB."""


@dataclass(frozen=True, slots=True)
class SampleRow:
    """One sample and how well it was predicted."""

    dataset: str
    idx: int
    """Index in the data set."""
    label: str
    """The scene."""
    instance: str
    """What view 0 shows."""
    num_views: int
    metrics: Mapping[str, float]
    """By name; NaN where a metric has no meaning, infinite or 0 where the prediction held no number."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A sample as a picture."""

    dataset: str
    idx: int
    image: Image


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The samples of all ranks, in the order of data set and index, none of them twice."""

    inputs: frozenset[Input]
    """What the model saw."""
    rows: list[SampleRow]
    broken: list[BrokenSample]
    """Samples that could not be read, and are not among the rows."""
    pictured: list[Picture]

    @property
    def pictures(self) -> list[Image]:
        """The images of `pictured`."""
        return [picture.image for picture in self.pictured]

    @property
    def not_finite(self) -> list[SampleRow]:
        """Samples whose predictions held NaN or infinity where a number was needed, so that a metric is infinite."""
        return [row for row in self.rows if any(math.isinf(value) for value in row.metrics.values())]

    @overload
    def means(self, by: None = None) -> dict[str, float]: ...
    @overload
    def means(self, by: str) -> dict[str, dict[str, float]]: ...
    def means(self, by: str | None = None) -> dict[str, float] | dict[str, dict[str, float]]:
        """Mean of each metric over the samples that it has a meaning for; NaN where there are none.

        Args:
            by: label (the scene), num_views or dataset, for means over the samples that agree in it; None for all.

        Returns:
            Means by metric, or by the text of the group and then by metric.
        """
        if by is None:
            return {name: _mean(values) for name, values in _columns(self.rows).items()}
        return {
            group: {name: _mean(v) for name, v in _columns(rows).items()} for group, rows in self.groups(by).items()
        }

    def counts(self) -> dict[str, int]:
        """For how many samples each metric has a meaning."""
        return {name: len(values) for name, values in _columns(self.rows).items()}

    def groups(self, by: str) -> dict[str, list[SampleRow]]:
        """The rows that agree in label, num_views or dataset, by its text, in order."""
        groups: dict[str, list[SampleRow]] = {}
        for row in sorted(self.rows, key=lambda row: getattr(row, by)):
            groups.setdefault(str(getattr(row, by)), []).append(row)
        return groups


def _columns(rows: Iterable[SampleRow]) -> dict[str, list[float]]:
    columns: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.metrics.items():
            column = columns.setdefault(name, [])
            if not math.isnan(value):
                column.append(value)
    return columns


def _mean(values: list[float]) -> float:
    # fsum rounds once, so that the mean does not depend on the order of the samples.
    return math.fsum(values) / len(values) if values else math.nan
