"""Plans an epoch: which samples make which batch, with how many views and of which size, and who reads them.

A plan is a function of the seed, the epoch and the options alone, so all ranks make the same one without a word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mapanything_data.datasets.samples import SampleRequest
from mapanything_data.errors import ConfigError


@dataclass(frozen=True, slots=True, eq=False)
class GlobalBatch:
    """What all ranks together train on at once: samples of one view count and one size."""

    num_views: int
    resolution: tuple[int, int] | None
    """Width and height, pixels; None leaves it to the data set."""
    indices: NDArray[np.int64]
    """[n] samples of all ranks, in order; of the last batches, fewer than there are ranks perhaps."""
    passes: NDArray[np.int64]
    """[n] how often each was trained on before: the epoch, where each comes once in an epoch. It decides the sample's
    random numbers, so a sample that comes twice in an epoch is not the same twice."""
    world_size: int
    """Ranks that share it."""

    def of_rank(self, rank: int) -> list[SampleRequest]:
        """A rank's share: a slice, as long as that of any other up to one sample, and perhaps empty."""
        each, rest = divmod(len(self.indices), self.world_size)
        start = rank * each + min(rank, rest)
        share = slice(start, start + each + (rank < rest))
        pairs = zip(self.indices[share].tolist(), self.passes[share].tolist(), strict=True)
        return [SampleRequest(index, self.num_views, self.resolution, passed) for index, passed in pairs]


def plan_epoch(
    limits: NDArray[np.integer],
    *,
    images_per_rank: int,
    world_size: int = 1,
    resolutions: Sequence[tuple[int, int]] = (),
    seed: int,
    epoch: int,
    weights: NDArray[np.floating] | None = None,
    limit_batches: int | None = None,
) -> list[GlobalBatch]:
    """Plan the batches of an epoch, in which each sample comes once, whatever the view counts.

    The next sample of a random order is a batch's first. It says what view counts there may be, and each is as likely
    as any other. The samples that come next in the order and may have this count fill the batch.

    Args:
        limits: [N, 2] fewest and most views of each sample, as the data set's `drawn_views` says.
        images_per_rank: Views that a rank's share of a batch has at most; no sample gets more.
        world_size: Ranks.
        resolutions: Widths and heights of which each batch has one; none leave it to the data set.
        seed: Start of the random numbers.
        epoch: Epoch, from 0.
        weights: [N] how often each sample comes in an epoch; 0.5 means a random half of those with 0.5. None is once.
        limit_batches: Batches of the epoch, at most.

    Raises:
        ConfigError: A sample has more views at least than `images_per_rank`, or the weights leave no sample.
    """
    limits = np.asarray(limits, np.int64).reshape(-1, 2)
    _require_budget(limits, images_per_rank)
    order, views, sizes = (np.random.default_rng(each) for each in np.random.SeedSequence([seed, epoch]).spawn(3))
    indices, passes = _members(len(limits), weights, epoch, order)
    shuffled = order.permutation(len(indices))
    indices, passes = indices[shuffled], passes[shuffled]
    batches = _batches(
        np.minimum(limits[indices], images_per_rank),
        views.random(len(indices)).tolist(),
        [world_size * (images_per_rank // count) for count in range(1, images_per_rank + 1)],
        len(indices) if limit_batches is None else limit_batches,
    )
    places = np.fromiter((place for _, batch in batches for place in batch), np.int64)
    indices, passes = indices[places], passes[places]
    chosen = sizes.random(len(batches))
    plan, end = [], 0
    for (num_views, batch), choice in zip(batches, chosen.tolist(), strict=True):
        start, end = end, end + len(batch)
        resolution = resolutions[int(choice * len(resolutions))] if resolutions else None
        plan.append(GlobalBatch(num_views, resolution, indices[start:end], passes[start:end], world_size))
    return plan


def _require_budget(limits: NDArray[np.int64], images_per_rank: int) -> None:
    needed = int(limits[:, 0].max(initial=1))
    if needed > images_per_rank:
        count = int((limits[:, 0] > images_per_rank).sum())
        raise ConfigError(
            "train_params.max_num_of_imgs_per_gpu",
            f"{images_per_rank}, but {count} samples have more views at least",
            expected=f"{needed} or more",
            remedy=f"give train_params.max_num_of_imgs_per_gpu={needed}, or samples of fewer views: lower "
            "dataset.num_views, or dataset.coop_min_num_views where the count is variable",
        )


def _members(
    count: int, weights: NDArray[np.floating] | None, epoch: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Samples of the epoch, [M], and how often each was there before, [M]."""
    if weights is None:
        return np.arange(count), np.full(count, epoch)
    copies = np.floor(weights).astype(np.int64)
    for weight in np.unique(weights[weights % 1 > 0]):
        rows = np.flatnonzero(weights == weight)
        # Rounded at random: a tenth of 5 samples is one in every other epoch, not none for ever.
        copies[rng.permutation(rows)[: int(weight % 1 * len(rows) + rng.random())]] += 1
    if not copies.any():
        raise ConfigError(
            "dataset.weights", f"leave none of {count} samples in epoch {epoch}", remedy="give greater weights"
        )
    indices = np.repeat(np.arange(count), copies)
    turns = np.arange(len(indices)) - np.repeat(np.cumsum(copies) - copies, copies)
    return indices, epoch * np.ceil(weights).astype(np.int64)[indices] + turns


def _batches(
    limits: NDArray[np.int64], draws: list[float], sizes: list[int], limit: int
) -> list[tuple[int, list[int]]]:
    """View count of each batch and the places in the order that it takes.

    For each view count it is remembered up to where all that may have it is taken, and no search goes back. So the work
    does not grow with the number of different limits.

    Args:
        limits: [M, 2] fewest and most views, in the random order.
        draws: M numbers from 0 to below 1.
        sizes: Samples of a batch of 1, 2, ... views.
        limit: Batches at most.
    """
    low, high = limits[:, 0].tolist(), limits[:, 1].tolist()
    taken = len(sizes) + 1  # no view count reaches it
    searched = [0] * taken
    batches: list[tuple[int, list[int]]] = []
    for first in range(len(low)):
        if len(batches) == limit:
            break
        if low[first] == taken:
            continue
        count = low[first] + int(draws[len(batches)] * (high[first] - low[first] + 1))
        batch: list[int] = []
        missing = sizes[count - 1]
        place = max(searched[count], first)
        while missing and place < len(low):
            if low[place] <= count <= high[place]:
                low[place] = taken
                batch.append(place)
                missing -= 1
            place += 1
        searched[count] = place
        batches.append((count, batch))
    return batches
