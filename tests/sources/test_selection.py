"""Which frames a time range and a stride select, and how files are named and ordered."""

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mapanything_data.sources.clip import natural_key, select_frames, unique_names

times = st.lists(st.floats(0, 100), max_size=40).map(lambda values: np.array(sorted(values)))


@given(times, st.floats(0, 100), st.integers(1, 5))
def test_the_frames_before_and_after_a_moment_are_all_frames(timestamps, moment, stride):
    before = select_frames(timestamps, None, moment, 1)
    after = select_frames(timestamps, moment, None, 1)
    assert np.array_equal(np.concatenate([before, after]), np.arange(len(timestamps)))
    assert np.array_equal(select_frames(timestamps, moment, None, stride), after[::stride])


def test_a_frame_at_the_start_belongs_to_the_range_however_binary_fractions_round():
    timestamps = np.arange(10) * 0.1  # 3 * 0.1 is 0.30000000000000004, 0.7 is 0.7000000000000001
    assert select_frames(timestamps, 0.3, 0.7, 1).tolist() == [3, 4, 5, 6]
    assert select_frames(timestamps - 1e-16, 0.3, 0.7, 1).tolist() == [3, 4, 5, 6]


def test_numbers_in_names_sort_by_value():
    names = ["cam10.mp4", "cam9.mp4", "cam.mp4", "9", "cam9b.mp4"]
    assert [path.name for path in sorted(map(Path, names), key=natural_key)] == [
        "9",
        "cam9.mp4",
        "cam9b.mp4",
        "cam10.mp4",
        "cam.mp4",
    ]


def test_names_grow_only_where_they_clash():
    paths = [Path("/r/1/a/cam.mp4"), Path("/r/2/a/cam.mp4"), Path("/r/2/b/front.mp4")]
    assert unique_names(paths) == ["1/a/cam.mp4", "2/a/cam.mp4", "front.mp4"]
