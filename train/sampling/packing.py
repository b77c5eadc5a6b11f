"""A batch on its way from a worker to the rank: all views of a kind of value in one tensor.

Each tensor crosses with a file descriptor of its own. Batches of 24 views would need 400, so that a few of them in
flight reach the usual limit of 1024, at which workers hang without a word.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch.utils.data import default_collate

from mapanything_data.datasets.samples import BrokenSample, ViewBatch
from mapanything_data.datasets.views import ViewDict


class PackedViews(NamedTuple):
    """A batch of B samples of V views; a tuple, whose tensors a DataLoader finds where it pins memory."""

    num_views: int
    """V; 0 where the batch is empty."""
    values: dict[str, Any]
    """Tensors [V * B, ...] and lists of V * B texts: all samples of view 0, then those of view 1, ..."""
    broken: list[BrokenSample]


def pack_views(samples: Sequence[list[ViewDict] | BrokenSample]) -> PackedViews:
    """Make a batch of samples that have the same number of views; a `collate_fn`."""
    broken = [sample for sample in samples if isinstance(sample, BrokenSample)]
    whole = [sample for sample in samples if not isinstance(sample, BrokenSample)]
    if not whole:
        return PackedViews(0, {}, broken)
    views = [view for same_view in zip(*whole, strict=True) for view in same_view]
    return PackedViews(len(whole[0]), default_collate(views), broken)


def unpack_views(packed: PackedViews) -> ViewBatch:
    """The batch as `collate_views` makes it; nothing is copied."""
    num_views, values, broken = packed
    views = []
    for number in range(num_views):
        size = len(next(iter(values.values()))) // num_views
        share = slice(number * size, (number + 1) * size)
        views.append({key: value[share] for key, value in values.items()})
    return ViewBatch(views, broken)
