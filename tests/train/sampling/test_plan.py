"""The plan of an epoch: every sample once, within the budget, the same on all ranks."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapanything_data.errors import ConfigError
from train.sampling.plan import plan_epoch

MOST = 9
one_limit = st.tuples(st.integers(1, MOST), st.integers(1, MOST)).map(lambda pair: (min(pair), max(pair)))
plans = st.fixed_dictionaries(
    {
        "limits": st.lists(one_limit, min_size=1, max_size=60).map(np.array),
        "images_per_rank": st.integers(MOST, 40),
        "world_size": st.integers(1, 5),
        "seed": st.integers(0, 3),
        "epoch": st.integers(0, 3),
        "resolutions": st.sampled_from([(), ((56, 42),), ((56, 42), (42, 56))]),
    }
)


def fixed(count, views):
    return np.tile([views, views], (count, 1))


def indices(plan):
    return [batch.indices.tolist() for batch in plan]


def samples(plan):
    return [index for batch in indices(plan) for index in batch]


@settings(max_examples=200, deadline=None)
@given(plans)
def test_every_sample_comes_once_within_the_budget_and_with_a_view_count_that_it_may_have(options):
    plan = plan_epoch(**options)
    limits = options["limits"]

    assert sorted(samples(plan)) == list(range(len(limits)))
    for batch in plan:
        assert all(low <= batch.num_views <= high for low, high in limits[batch.indices])
        assert batch.resolution in (options["resolutions"] or (None,))
        assert (batch.passes == options["epoch"]).all()
        shares = [batch.of_rank(rank) for rank in range(options["world_size"])]
        assert [request.index for share in shares for request in share] == batch.indices.tolist()
        assert all(len(share) * batch.num_views <= options["images_per_rank"] for share in shares)
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
        assert {(r.num_views, r.resolution) for share in shares for r in share} == {(batch.num_views, batch.resolution)}


@settings(max_examples=100, deadline=None)
@given(plans)
def test_a_batch_is_not_full_only_where_no_sample_is_left_for_it(options):
    plan = plan_epoch(**options)

    for number, batch in enumerate(plan):
        if len(batch.indices) < options["world_size"] * (options["images_per_rank"] // batch.num_views):
            later = np.concatenate([np.zeros(0, int), *(other.indices for other in plan[number + 1 :])])
            assert not any(low <= batch.num_views <= high for low, high in options["limits"][later])


@given(plans)
def test_all_ranks_make_the_same_plan_and_every_epoch_another(options):
    options["limits"] = fixed(40, 3)  # enough that two orders are not the same by chance: 1 in 40!
    plan = plan_epoch(**options)

    assert indices(plan) == indices(plan_epoch(**options))
    assert indices(plan) != indices(plan_epoch(**options | {"epoch": options["epoch"] + 1}))
    assert indices(plan) != indices(plan_epoch(**options | {"seed": options["seed"] + 1}))


def test_two_ranks_take_the_batches_of_one_rank_with_twice_the_budget():
    two = plan_epoch(fixed(13, 4), images_per_rank=4, world_size=2, seed=5, epoch=1)
    one = plan_epoch(fixed(13, 4), images_per_rank=8, world_size=1, seed=5, epoch=1)

    assert indices(two) == indices(one)
    assert [len(batch.indices) for batch in one] == [2, 2, 2, 2, 2, 2, 1]
    for both, alone in zip(two, one, strict=True):
        assert both.of_rank(0) + both.of_rank(1) == alone.of_rank(0)


def test_surplus_ranks_of_the_last_batch_have_nothing_to_do():
    # 3 ranks with 2 samples each: 7 samples are a batch of 6 and one of 1.
    plan = plan_epoch(fixed(7, 2), images_per_rank=4, world_size=3, seed=0, epoch=0)

    assert [[len(batch.of_rank(rank)) for rank in range(3)] for batch in plan] == [[2, 2, 2], [1, 0, 0]]


def test_an_epoch_of_2_to_24_views_shows_all_samples():
    plan = plan_epoch(np.tile([2, 24], (1000, 1)), images_per_rank=36, seed=0, epoch=0)

    assert len(set(samples(plan))) == 1000


def test_view_counts_are_equally_likely():
    plan = plan_epoch(np.tile([2, 24], (60_000, 1)), images_per_rank=36, seed=0, epoch=0)
    counts = Counter(batch.num_views for batch in plan)

    # About 15,000 batches over 23 counts: 650 of each, with a deviation of 25.
    expected = len(plan) / 23
    assert sorted(counts) == list(range(2, 25))
    assert all(abs(number - expected) < 5 * expected**0.5 for number in counts.values())


def test_resolutions_are_equally_likely():
    sizes = ((56, 42), (42, 56), (56, 56), (70, 28))
    plan = plan_epoch(fixed(4000, 4), images_per_rank=4, resolutions=sizes, seed=0, epoch=0)
    counts = Counter(batch.resolution for batch in plan)

    assert all(abs(counts[size] - 1000) < 140 for size in sizes)  # a deviation of 27


def test_no_sample_has_more_views_than_the_budget():
    plan = plan_epoch(np.tile([2, 24], (200, 1)), images_per_rank=5, seed=0, epoch=0)

    assert {batch.num_views for batch in plan} == {2, 3, 4, 5}


def test_a_budget_below_the_fewest_views_of_a_sample_is_refused():
    limits = np.array([[4, 8], [10, 10], [6, 6]])

    with pytest.raises(ConfigError) as caught:
        plan_epoch(limits, images_per_rank=4, seed=0, epoch=0)

    assert str(caught.value).startswith(
        "train_params.max_num_of_imgs_per_gpu: 4, but 2 samples have more views at least\n  expected: 10 or more\n"
    )


def test_a_limited_epoch_is_the_beginning_of_the_whole_one():
    options = {"images_per_rank": 12, "resolutions": ((56, 42), (42, 56)), "seed": 0, "epoch": 2}
    whole = plan_epoch(np.tile([2, 6], (100, 1)), **options)
    short = plan_epoch(np.tile([2, 6], (100, 1)), **options, limit_batches=5)

    assert [(b.num_views, b.resolution, *b.indices) for b in short] == [
        (b.num_views, b.resolution, *b.indices) for b in whole[:5]
    ]


def epochs_with(weights, epochs):
    weights = np.asarray(weights, float)
    limits = fixed(len(weights), 2)
    return [plan_epoch(limits, images_per_rank=6, seed=0, epoch=epoch, weights=weights) for epoch in range(epochs)]


def test_weights_say_how_often_samples_come():
    weights = [1.0] * 10 + [2.0] * 10 + [0.5] * 10 + [0.0] * 10
    for plan in epochs_with(weights, epochs=3):
        counts = np.bincount(np.concatenate([batch.indices for batch in plan]), minlength=40)
        assert counts[:10].tolist() == [1] * 10
        assert counts[10:20].tolist() == [2] * 10
        assert sorted(counts[20:30]) == [0] * 5 + [1] * 5
        assert counts[30:].sum() == 0


def test_the_half_that_comes_is_another_one_in_each_epoch():
    halves = [frozenset(samples(plan)) for plan in epochs_with([0.5] * 20, epochs=20)]

    assert all(len(half) == 10 for half in halves)
    assert len(set(halves)) == 20
    assert frozenset.union(*halves) == set(range(20))  # one is missing in all with a chance of 20 in a million


def test_a_share_of_less_than_a_sample_comes_once_in_a_while():
    # 0.1 of 5 samples is half a sample: one in every other epoch. 100 epochs: 50, with a deviation of 5.
    counts = [len(samples(plan)) for plan in epochs_with([0.1] * 5 + [1.0], epochs=100)]

    assert set(counts) == {1, 2}
    assert 25 < sum(counts) - 100 < 75


def test_a_sample_never_comes_with_the_same_random_numbers_again():
    seen = [
        (request.index, request.epoch)
        for plan in epochs_with([2.5] * 4 + [1.0] * 4, epochs=6)
        for batch in plan
        for request in batch.of_rank(0)
    ]

    assert len(seen) == len(set(seen)) == 6 * (10 + 4)
    assert sorted(passed for index, passed in seen if index == 7) == [0, 1, 2, 3, 4, 5]


def test_weights_that_leave_nothing_are_refused():
    with pytest.raises(ConfigError, match=r"dataset.weights: leave none of 2 samples in epoch 0"):
        plan_epoch(fixed(2, 2), images_per_rank=2, seed=0, epoch=0, weights=np.zeros(2))
