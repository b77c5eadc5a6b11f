"""The learning rate over a run of 10 epochs, 2 of them to warm up, from 1e-3 to 1e-5."""

from __future__ import annotations

import pytest

from train.training.schedule import learning_rate


def rate(progress, **options):
    return learning_rate(progress, **{"peak": 1e-3, "floor": 1e-5, "warmup": 2.0, "epochs": 10.0} | options)


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        (0.0, 0.0),
        (0.5, 2.5e-4),  # a quarter of the way up
        (2.0, 1e-3),
        (6.0, (1e-3 + 1e-5) / 2),  # half a cosine crosses the middle half-way
        (4.0, 1e-5 + (1e-3 - 1e-5) * (1 + 2**-0.5) / 2),  # a quarter of the way: cos 45 degrees
        (10.0, 1e-5),
        (11.0, 1e-5),
    ],
)
def test_it_grows_in_a_line_and_falls_as_half_a_cosine(progress, expected):
    assert rate(progress) == pytest.approx(expected, rel=1e-12)


def test_without_warm_up_it_begins_at_the_peak():
    assert rate(0.0, warmup=0.0) == 1e-3


def test_a_run_may_be_all_warm_up():
    assert rate(5.0, warmup=10.0) == pytest.approx(5e-4)
    assert rate(10.0, warmup=10.0) == pytest.approx(1e-5)


def test_a_floor_above_the_peak_is_the_peak():
    assert rate(10.0, peak=1e-6) == 1e-6
