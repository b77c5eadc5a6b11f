"""An evaluation sees every test sample once, however many ranks share the work."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from train.sampling.eval_batches import eval_batches


class Counted:
    """Samples of which only the view counts are known."""

    def __init__(self, counts):
        self.counts = counts

    def __len__(self):
        return len(self.counts)

    def drawn_views(self, index):
        return self.counts[index], self.counts[index]


def indices(batches):
    return [[request.index for request in batch] for batch in batches]


def test_samples_of_one_view_count_share_a_batch_as_far_as_the_images_go():
    batches = eval_batches(Counted([4, 2, 4, 2, 4, 2, 2]), images_per_gpu=8)

    assert indices(batches) == [[0, 2], [1, 3, 5, 6], [4]]
    assert [{request.num_views for request in batch} for batch in batches] == [{4}, {2}, {4}]


def test_a_sample_with_more_views_than_images_fit_is_a_batch_of_its_own():
    assert indices(eval_batches(Counted([28, 28]), images_per_gpu=10)) == [[0], [1]]


def test_all_ranks_have_as_many_batches():
    counted = Counted([4] * 5)

    assert [indices(eval_batches(counted, 4, rank, 3)) for rank in range(3)] == [[[0], [3]], [[1], [4]], [[2], []]]


def test_a_limit_spreads_over_the_data_set():
    assert indices(eval_batches(Counted([4] * 100), 4, limit=5)) == [[0], [20], [40], [60], [80]]
    assert len(eval_batches(Counted([4] * 3), 4, limit=5)) == 3


@given(
    counts=st.lists(st.integers(1, 9), max_size=40),
    images=st.integers(1, 30),
    world_size=st.integers(1, 5),
    limit=st.none() | st.integers(1, 50),
)
def test_every_sample_comes_once_and_batches_do_not_depend_on_the_ranks(counts, images, world_size, limit):
    counted = Counted(counts)
    alone = eval_batches(counted, images, limit=limit)
    shares = [eval_batches(counted, images, rank, world_size, limit) for rank in range(world_size)]

    assert len({len(share) for share in shares}) == 1
    assert sorted(indices(batch for share in shares for batch in share if batch)) == sorted(indices(alone))
    seen = [index for batch in indices(alone) for index in batch]
    assert len(seen) == len(set(seen)) == min(limit or 50, len(counts))
    for batch in alone:
        assert sum(request.num_views for request in batch) <= images or len(batch) == 1
        assert all(request.num_views == counts[request.index] for request in batch)
