"""Several data sets of views as one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapanything_data.config import component
from mapanything_data.datasets.protocol import ViewDataset, ViewDatasets
from mapanything_data.datasets.samples import BrokenSample, SampleRequest
from mapanything_data.datasets.views import ViewDict
from mapanything_data.errors import ConfigError, require_option

_ALIKE = ("resolution", "data_norm_type")


@component("dataset", "mixture")
@dataclass(kw_only=True, slots=True)
class Mixture:
    """Several data sets of views in one training: each batch may hold samples of all."""

    parts: dict[str, Any] = field(default_factory=dict)
    """The data sets by name, each a choice of its own (docs/datasets.md)."""
    weights: dict[str, float] = field(default_factory=dict)
    """How often each training sample of a part comes in an epoch: 2 is twice, 0.5 a random half of them, 0 none. A part
    that is not named has 1. Test samples come once."""

    def __post_init__(self) -> None:
        """Refuse what cannot be mixed."""
        names = ", ".join(self.parts)
        remedy = "give dataset=opv2v_mixture, or list them in a YAML file as that one does"
        require_option("dataset.parts", self.parts, bool(self.parts), "one data set or more", remedy)
        for name, part in self.parts.items():
            if not isinstance(part, ViewDatasets):
                raise ConfigError(
                    f"dataset.parts.{name}",
                    f"{type(part).__name__} gives no views to train on",
                    expected="a data set of views, such as opv2v_ft",
                    remedy="name it in the defaults list, as configs/dataset/opv2v_mixture.yaml does",
                )
        for name, weight in self.weights.items():
            require_option(f"dataset.weights.{name}", weight, name in self.parts, f"a part; there are {names}")
            require_option(f"dataset.weights.{name}", weight, 0 <= weight < np.inf, "0 or more")
        some = any(self.weights.get(name, 1.0) > 0 for name in self.parts)
        require_option("dataset.weights", self.weights, some, "one above 0")
        for option in _ALIKE:
            values = {name: getattr(part, option, None) for name, part in self.parts.items()}
            self._require_alike(option, values)

    @property
    def resolution(self) -> list[int]:
        """Width and height of the views of all parts, pixels."""
        size: list[int] = next(iter(self.parts.values())).resolution
        return size

    @property
    def data_norm_type(self) -> str:
        """How the pictures of all parts are normalised."""
        norm: str = next(iter(self.parts.values())).data_norm_type
        return norm

    def train_dataset(self) -> MixtureDataset:
        """The samples to train on."""
        datasets = {name: part.train_dataset() for name, part in self.parts.items()}
        return MixtureDataset(datasets, {name: self.weights.get(name, 1.0) for name in datasets})

    def test_dataset(self) -> MixtureDataset:
        """The samples to test on, each once."""
        return MixtureDataset({name: part.test_dataset() for name, part in self.parts.items()}, {})

    def _require_alike(self, option: str, values: Mapping[str, Any]) -> None:
        """Samples of different sizes or norms make no batch."""
        first, *others = values
        for name in others:
            require_option(
                f"dataset.parts.{name}.{option}",
                values[name],
                values[name] == values[first],
                f"{values[first]!r}, as dataset.parts.{first} has, since samples of all parts share batches",
            )


class MixtureDataset:
    """The samples of several data sets, one data set after the other.

    Args:
        datasets: Data sets by name.
        weights: How often the samples of some of them come in an epoch; those of the others come once.
    """

    def __init__(self, datasets: Mapping[str, ViewDataset], weights: Mapping[str, float]) -> None:
        self.datasets = dict(datasets)
        self.weights = {name: weights.get(name, 1.0) for name in datasets}
        self._parts = list(self.datasets.values())
        self._ends = np.cumsum([len(part) for part in self._parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, request: int | SampleRequest) -> list[ViewDict] | BrokenSample:
        """The views of a sample; `idx` counts over all parts.

        Raises:
            IndexError: There is no such sample.
            ValueError: More or fewer views are asked for than the sample may have.
            SampleError: A file cannot be read, and the part does not skip broken samples.
        """
        request = request if isinstance(request, SampleRequest) else SampleRequest(request)
        part, index = self._locate(request.index)
        sample = part[replace(request, index=index)]
        if isinstance(sample, BrokenSample):
            return replace(sample, index=request.index)
        return [view | {"idx": request.index} for view in sample]

    def set_epoch(self, epoch: int) -> None:
        """Choose the random numbers of requests that name no epoch."""
        for part in self._parts:
            part.set_epoch(epoch)

    def view_limits(self, index: int) -> tuple[int, int]:
        """Fewest and most views that a request may ask of a sample."""
        part, own = self._locate(index)
        return part.view_limits(own)

    def drawn_views(self, index: int) -> tuple[int, int]:
        """Fewest and most views that a sample has when no number is asked for."""
        part, own = self._locate(index)
        return part.drawn_views(own)

    def available_views(self, index: int) -> int:
        """The most views that a request may ask of a sample; no file is opened for it."""
        return self.view_limits(index)[1]

    def sample_weights(self) -> NDArray[np.float64]:
        """[N] how often each sample comes in an epoch."""
        return np.repeat(np.array(list(self.weights.values())), [len(part) for part in self._parts])

    def summary(self) -> str:
        """What each part has, how often it comes, and what was left out and why."""
        return "\n".join(
            f"{name} (weight {self.weights[name]:g}): {part.summary()}" for name, part in self.datasets.items()
        )

    def _locate(self, index: int) -> tuple[ViewDataset, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"there is no sample {index}, only 0 to {len(self) - 1}")
        number = int(np.searchsorted(self._ends, index, side="right"))
        part = self._parts[number]
        return part, index - int(self._ends[number]) + len(part)
