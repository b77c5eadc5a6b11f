"""The batches of one rank, as a DataLoader asks for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np

from mapanything_data.datasets.protocol import ViewDataset, WeightedViewDataset
from mapanything_data.datasets.samples import SampleRequest
from train.sampling.plan import GlobalBatch, plan_epoch


class BudgetBatchSampler:
    """A `batch_sampler` whose batches hold as many samples as a budget of views allows.

    Args:
        dataset: What is sampled.
        images_per_rank: Views of a rank's batch, at most.
        seed: Start of the random numbers.
        resolutions: Widths and heights of which each batch has one; none leave it to the data set.
        rank: Whose batches these are.
        world_size: Ranks.
        limit_batches: Batches of an epoch, at most; None for all.

    Raises:
        ConfigError: A sample has more views at least than `images_per_rank`.
    """

    def __init__(
        self,
        dataset: ViewDataset,
        *,
        images_per_rank: int,
        seed: int,
        resolutions: Sequence[tuple[int, int]] = (),
        rank: int = 0,
        world_size: int = 1,
        limit_batches: int | None = None,
    ) -> None:
        self._limits = np.array([dataset.drawn_views(index) for index in range(len(dataset))], np.int64)
        self._weights = dataset.sample_weights() if isinstance(dataset, WeightedViewDataset) else None
        self._images_per_rank = images_per_rank
        self._seed = seed
        self._resolutions = resolutions
        self._rank = rank
        self._world_size = world_size
        self._limit_batches = limit_batches
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Go to the beginning of an epoch."""
        self._start = 0
        if getattr(self, "_epoch", None) == epoch:
            return
        self._epoch = epoch
        self.plan: list[GlobalBatch] = plan_epoch(
            self._limits,
            images_per_rank=self._images_per_rank,
            world_size=self._world_size,
            resolutions=self._resolutions,
            seed=self._seed,
            epoch=epoch,
            weights=self._weights,
            limit_batches=self._limit_batches,
        )
        """The batches of the epoch, of all ranks."""

    def start_at(self, step: int) -> None:
        """Leave out the first batches of the epoch, as a run does that goes on in the middle of it."""
        self._start = step

    def __len__(self) -> int:
        return max(0, len(self.plan) - self._start)

    def __iter__(self) -> Iterator[list[SampleRequest]]:
        """What is left of the epoch as it is now: a later `set_epoch` changes nothing in this iteration."""
        rank = self._rank
        return (batch.of_rank(rank) for batch in islice(self.plan, self._start, None))
