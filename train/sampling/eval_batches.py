"""The batches of an evaluation: every test sample once, with the view count that it has by itself."""

from __future__ import annotations

from typing import Protocol

from mapanything_data.datasets.samples import SampleRequest


class CountedSamples(Protocol):
    """A data set that says how many views its samples have."""

    def __len__(self) -> int:
        """How many samples there are."""
        ...

    def drawn_views(self, index: int) -> tuple[int, int]:
        """Fewest and most views that a sample has when a request leaves their number open."""
        ...


def eval_batches(
    dataset: CountedSamples, images_per_gpu: int, rank: int = 0, world_size: int = 1, limit: int | None = None
) -> list[list[SampleRequest]]:
    """The batches of one rank, in order.

    Batches are made for all ranks together and then dealt out, so what lies in a batch does not depend on their number.

    Args:
        dataset: Test samples, each of which has one view count.
        images_per_gpu: Views of a batch, at most; a sample that has more is a batch of its own.
        rank: Which rank asks.
        world_size: How many ranks there are.
        limit: Samples of all ranks, at most; they are spread evenly over the data set. None for all.

    Returns:
        As many batches for each rank; the last of a rank is empty where there are not enough.
    """
    total = len(dataset)
    count = total if limit is None else min(limit, total)
    groups: dict[int, list[int]] = {}
    for index in (number * total // count for number in range(count)):
        groups.setdefault(dataset.drawn_views(index)[1], []).append(index)
    batches: list[list[SampleRequest]] = []
    for num_views, indices in groups.items():
        size = max(1, images_per_gpu // num_views)
        requests = [SampleRequest(index, num_views=num_views) for index in indices]
        batches.extend(requests[start : start + size] for start in range(0, len(requests), size))
    batches.sort(key=lambda batch: batch[0].index)
    own = batches[rank::world_size]
    most = -(-len(batches) // world_size)
    return own + [[] for _ in range(most - len(own))]
