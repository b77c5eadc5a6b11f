"""What passes between a data set of views, its sampler and its loader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mapanything_data.datasets.views import ViewDict
from mapanything_data.errors import DataError


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """A sample as a sampler wants it; in what is None the data set decides."""

    index: int
    num_views: int | None = None
    resolution: tuple[int, int] | None = None
    """Width and height, pixels."""
    epoch: int | None = None
    """Counts over that of `set_epoch`, which workers that outlive an epoch do not hear of."""


@dataclass(frozen=True, slots=True)
class BrokenSample:
    """Stands for a sample whose files could not be read, where broken samples are skipped."""

    index: int
    reason: str


class ViewBatch(list[ViewDict]):
    """A list over views of batched mappings, with the samples that it had to do without.

    It is empty when all samples were broken.
    """

    def __init__(self, views: Sequence[ViewDict], broken: Sequence[BrokenSample]) -> None:
        super().__init__(views)
        self.broken = list(broken)


class SampleError(DataError):
    """A sample that cannot be read; `text` names the file, what was found there, and what mends it.

    A DataLoader brings a worker's exception home by calling its class with one text, the traceback and the message:
    any other signature would come out as a bare RuntimeError. So there is one text and no path of its own.
    """

    def __init__(self, text: str) -> None:
        # What stands before is the worker's traceback.
        self.text = text.rpartition(f"{__name__}.{SampleError.__name__}: ")[2].rstrip()
        super().__init__("sample", self.text, remedy="see there")

    def __reduce__(self) -> tuple[object, ...]:
        return SampleError, (self.text,)

    def __str__(self) -> str:
        return self.text


def collate_views(samples: Sequence[list[ViewDict] | BrokenSample]) -> ViewBatch:
    """Make a batch: the `collate_fn` of a DataLoader over views.

    Broken samples are left out and listed in the batch's `broken`, where the training loop counts them; nothing takes
    their places.

    Raises:
        ValueError: The samples differ in their number of views, so a sampler asked for different ones.
    """
    from torch.utils.data import default_collate

    broken = [sample for sample in samples if isinstance(sample, BrokenSample)]
    whole = [sample for sample in samples if not isinstance(sample, BrokenSample)]
    counts = sorted({len(sample) for sample in whole})
    if len(counts) > 1:
        raise ValueError(
            f"samples of {counts[0]} to {counts[-1]} views in one batch: use a batch size of 1, a sampler that asks "
            "for one number of views in each batch, or dataset.allow_variable_view_count=false"
        )
    return ViewBatch(default_collate(whole) if whole else [], broken)


def sample_generators(seed: int, epoch: int, index: int) -> tuple[np.random.Generator, np.random.Generator]:
    """Random numbers of one sample: which views it has, and how their pixels change.

    They depend on these three numbers alone. Which worker makes a sample must not enter: the number of workers is a
    matter of the machine, and a run must be repeatable on another one. There are two generators so that a sampler that
    asks for another resolution gets the same views.
    """
    views, pixels = np.random.SeedSequence([seed, epoch, index]).spawn(2)
    return np.random.default_rng(views), np.random.default_rng(pixels)
