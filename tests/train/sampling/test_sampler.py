"""A rank's batches, and how a run goes on in the middle of an epoch."""

from __future__ import annotations

from toy_samples import ToySamples, WeightedToySamples

from mapanything_data.datasets.samples import SampleRequest
from train.sampling.sampler import BudgetBatchSampler


def sampler(dataset=None, **options):
    dataset = dataset or ToySamples([(2, 6)] * 50)
    return BudgetBatchSampler(dataset, **{"images_per_rank": 12, "seed": 3} | options)


def test_the_rest_of_an_epoch_is_the_end_of_the_whole_one():
    batches = sampler(resolutions=[(56, 42), (42, 56)])
    batches.set_epoch(4)
    whole = list(batches)
    again = sampler(resolutions=[(56, 42), (42, 56)])
    again.set_epoch(4)
    again.start_at(5)

    assert list(again) == whole[5:]
    assert len(again) == len(whole) - 5
    assert len(again.plan) == len(whole)


def test_the_next_epoch_begins_at_its_beginning():
    batches = sampler()
    batches.start_at(5)
    batches.set_epoch(1)
    fresh = sampler()
    fresh.set_epoch(1)

    assert list(batches) == list(fresh)


def test_the_same_epoch_again_is_the_same():
    batches = sampler()
    first = list(batches)
    batches.start_at(2)
    batches.set_epoch(0)

    assert list(batches) == first


def test_an_iteration_keeps_its_epoch():
    batches = sampler()
    whole = list(batches)
    half_way = iter(batches)
    start = [next(half_way)]
    batches.set_epoch(1)

    assert start + list(half_way) == whole


def test_ranks_share_the_samples():
    ranks = [list(sampler(rank=rank, world_size=3)) for rank in range(3)]
    together = sorted(request.index for batches in ranks for batch in batches for request in batch)

    assert together == list(range(50))
    assert len({len(batches) for batches in ranks}) == 1


def test_requests_say_all_that_decides_a_sample():
    batches = sampler(ToySamples([(4, 4)]), resolutions=[(56, 42)])
    batches.set_epoch(7)

    assert list(batches) == [[SampleRequest(0, num_views=4, resolution=(56, 42), epoch=7)]]


def test_weights_come_from_the_data_set():
    batches = sampler(WeightedToySamples([(4, 4)] * 3, weights=2.0))

    assert sorted((request.index, request.epoch) for batch in batches for request in batch) == [
        (index, passed) for index in range(3) for passed in range(2)
    ]


def test_an_epoch_can_be_cut():
    batches = sampler(limit_batches=3)

    assert len(list(batches)) == len(batches) == len(batches.plan) == 3


def test_a_start_behind_the_end_leaves_nothing():
    batches = sampler(limit_batches=3)
    batches.start_at(8)

    assert (list(batches), len(batches)) == ([], 0)
