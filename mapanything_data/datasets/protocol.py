"""What a data set of views is: to a configuration, to a sampler, to a loader."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mapanything_data.datasets.samples import BrokenSample, SampleRequest
from mapanything_data.datasets.views import ViewDict


class ViewDataset(Protocol):
    """Samples of views, a map-style data set of torch that can be pickled: workers get a copy."""

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def __getitem__(self, request: int | SampleRequest) -> list[ViewDict] | BrokenSample:
        """The views of a sample; `idx` is its index in each."""
        ...

    def set_epoch(self, epoch: int) -> None:
        """Choose the random numbers of requests that name no epoch."""
        ...

    def view_limits(self, index: int) -> tuple[int, int]:
        """Fewest and most views that a request may ask of a sample."""
        ...

    def drawn_views(self, index: int) -> tuple[int, int]:
        """Fewest and most views that a sample has when no number is asked for, which samplers draw from."""
        ...

    def summary(self) -> str:
        """What there is and what was left out and why, a few lines."""
        ...


@runtime_checkable
class WeightedViewDataset(ViewDataset, Protocol):
    """A data set of which some samples come more often than others."""

    def sample_weights(self) -> NDArray[np.float64]:
        """[N] how often each sample comes in an epoch."""
        ...


@runtime_checkable
class ViewDatasets(Protocol):
    """A component of the group `dataset` that gives views to train and to test on."""

    @property
    def resolution(self) -> list[int]:
        """Width and height of views for which no other is asked, pixels."""
        ...

    @property
    def data_norm_type(self) -> str:
        """How pictures are normalised: a key of `NORMALISATIONS`."""
        ...

    def train_dataset(self) -> ViewDataset:
        """The samples to train on."""
        ...

    def test_dataset(self) -> ViewDataset:
        """The samples to test on: the same in every epoch."""
        ...
