"""Batches of views for training and for tests."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from itertools import islice

import torch

from mapanything_data.datasets.protocol import ViewDataset
from mapanything_data.datasets.samples import SampleRequest, ViewBatch
from train.sampling.batch_reader import BatchReader
from train.sampling.plan import GlobalBatch
from train.sampling.sampler import BudgetBatchSampler


class TrainLoader:
    """Reads a rank's share of the batches of epochs; a context manager that ends its workers.

    Args:
        dataset: What is trained on.
        sampler: Plans its epochs, for this rank.
        num_workers: Processes that read; 0 reads in this one.
        device: Where batches go to: for a GPU they come in pinned memory; None says nothing.
    """

    def __init__(
        self, dataset: ViewDataset, sampler: BudgetBatchSampler, *, num_workers: int, device: torch.device | None
    ) -> None:
        self._sampler = sampler
        self._reader = BatchReader(dataset, sampler, num_workers=num_workers, device=device)

    @property
    def waited_s(self) -> float:
        """Seconds that were spent waiting for batches so far."""
        return self._reader.waited_s

    def plan(self, epoch: int) -> list[GlobalBatch]:
        """The batches of an epoch, of all ranks; where view counts vary, their number does from epoch to epoch."""
        self._sampler.set_epoch(epoch)
        return self._sampler.plan

    def epoch(self, epoch: int, start: int = 0) -> Generator[tuple[GlobalBatch, ViewBatch], None, None]:
        """What is left of an epoch after `start` batches: each batch, and this rank's share of it, perhaps empty.

        Raises:
            SampleError: A sample cannot be read.
            DataError: A worker has died.
        """
        plan = self.plan(epoch)
        self._sampler.start_at(start)
        with closing(iter(self._reader)) as batches:  # type: ignore[type-var]  # it is a generator
            yield from zip(islice(plan, start, None), batches, strict=True)

    def close(self) -> None:
        """End the workers; a later epoch starts new ones."""
        self._reader.close()

    def __enter__(self) -> TrainLoader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def test_loader(
    dataset: ViewDataset,
    batches: Sequence[list[SampleRequest]],
    *,
    num_workers: int,
    device: torch.device | None,
) -> BatchReader:
    """Reads given batches, in order, as a test does; to be used with `with`."""
    return BatchReader(dataset, batches, num_workers=num_workers, device=device)
