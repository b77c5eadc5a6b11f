"""Depth videos: what is written is what is read, frame by frame, by us and by others."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mapanything_data.errors import DataError
from mapanything_data.scene import Camera
from mapanything_data.storage.depth_video import (
    DepthVideoReader,
    DepthVideoWriter,
    meta_path,
    read_depth_meta,
    verify_depth_video,
)

WIDTH, HEIGHT = 48, 32


def random_values(seed, frames, width=WIDTH, height=HEIGHT):
    """Any of the 65,536 values, a tenth of them 0."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 1 << 16, (frames, height, width), dtype=np.uint16)
    values[rng.random(values.shape) < 0.1] = 0
    return values


def write_values(path, values, fps=15.0, **options):
    with DepthVideoWriter(path, values.shape[2], values.shape[1], fps, **options) as writer:
        for frame in values:
            writer.write_raw(frame)
    return path


def two_rows(*numbers, dtype=np.float32):
    """The smallest kind of map: the numbers, and 1 m below each."""
    return np.array([numbers, [1.0] * len(numbers)], dtype)


def written(path, *maps, **options):
    """What becomes of depth maps: the values read back, and the counts."""
    with DepthVideoWriter(path, maps[0].shape[1], maps[0].shape[0], 15.0, **options) as writer:
        for depth in maps:
            writer.write(depth)
    with DepthVideoReader(path) as reader:
        return [reader.raw(number) for number in range(len(reader))], reader.meta.counts


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 1 << 32),
    frames=st.integers(1, 5),
    width=st.integers(2, 70),
    height=st.integers(2, 40),
    fps=st.floats(0.1, 1000),
    in_scratch=st.booleans(),
)
def test_any_values_of_any_size_at_any_rate_are_read_as_they_were_written(
    tmp_path, seed, frames, width, height, fps, in_scratch
):
    values = random_values(seed, frames, width, height)

    path = write_values(tmp_path / "depth.mkv", values, fps, scratch=tmp_path if in_scratch else "")

    with DepthVideoReader(path) as reader:
        assert np.array_equal([reader.raw(number) for number in range(len(reader))], values)
    assert verify_depth_video(path) == []


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scale=st.sampled_from([0.001, 0.0001, 0.00025, 1 / 256, 0.3]), seed=st.integers(0, 1 << 32))
def test_metres_written_and_read_are_off_by_half_a_unit_at_most(tmp_path, scale, seed):
    depth = np.random.default_rng(seed).uniform(scale, 65535 * scale, (HEIGHT, WIDTH)).astype(np.float32)

    written(tmp_path / "depth.mkv", depth, scale=scale)

    with DepthVideoReader(tmp_path / "depth.mkv") as reader:
        # float32 has 24 bits, so 65,535 units are exact to 65,535 / 2^24 = 0.004 of one, here and in the product.
        assert np.abs(reader[0].astype(np.float64) - depth).max() <= 0.51 * scale
        again, _ = written(tmp_path / "again.mkv", reader[0], scale=scale)
        assert np.array_equal(again[0], reader.raw(0))


def test_every_value_becomes_metres_and_the_same_value_again(tmp_path):
    every = np.arange(1 << 16, dtype=np.uint16).reshape(1, 256, 256)
    write_values(tmp_path / "depth.mkv", every)

    with DepthVideoReader(tmp_path / "depth.mkv") as reader:
        metres = reader[0]
    values, _ = written(tmp_path / "again.mkv", metres)

    assert metres.dtype == np.float32
    assert np.array_equal(metres, (np.arange(1 << 16) / 1000).astype(np.float32).reshape(256, 256))
    assert np.array_equal(values[0], every[0])


def test_depth_is_rounded_to_the_nearest_millimetre(tmp_path):
    depth = two_rows(1.0, 1.0004, 1.0006, 2.3456, 65.535)

    values, counts = written(tmp_path / "depth.mkv", depth)

    assert values[0][0].tolist() == [1000, 1000, 1001, 2346, 65535]
    assert (counts.pixels, counts.invalid, counts.saturated, counts.raised) == (10, 0, 0, 0)


def test_what_has_no_depth_becomes_zero_and_is_counted(tmp_path):
    nothing = two_rows(0.0, -0.0, -1.0, np.nan, np.inf, -np.inf, 1e-3)

    values, counts = written(tmp_path / "depth.mkv", nothing, np.zeros((2, 7), np.float32))

    assert values[0].tolist() == [[0, 0, 0, 0, 0, 0, 1], [1000] * 7]
    assert not values[1].any()
    assert (counts.pixels, counts.invalid, counts.saturated) == (28, 20, 0)
    assert counts.invalid_share == 20 / 28


def test_depth_beyond_the_largest_value_is_unknown_and_counted_as_saturated(tmp_path):
    # 3e38 m are more millimetres than float32 holds: infinite units of a depth that is finite.
    depth = two_rows(65.535, 65.5354, 65.536, 80.0, 1e30, 3e38)

    values, counts = written(tmp_path / "depth.mkv", depth)

    assert values[0][0].tolist() == [65535, 65535, 0, 0, 0, 0]
    assert (counts.invalid, counts.saturated) == (4, 4)


def test_depth_above_zero_never_becomes_invalid_by_rounding(tmp_path):
    depth = two_rows(0.0001, 0.0005, 0.0006, 0.0, np.nan, dtype=np.float64)

    values, counts = written(tmp_path / "depth.mkv", depth)

    assert values[0][0].tolist() == [1, 1, 1, 0, 0]
    assert (counts.raised, counts.invalid) == (2, 2)


def test_another_scale_reaches_farther(tmp_path):
    values, counts = written(tmp_path / "depth.mkv", two_rows(100.0, 255.99, 256.5), scale=1 / 256)

    with DepthVideoReader(tmp_path / "depth.mkv") as reader:
        assert reader[0][0].tolist() == [100.0, 65533 / 256, 0.0]
    assert values[0][0].tolist() == [25600, 65533, 0]  # 255.99 x 256 = 65,533.4
    assert counts.saturated == 1
    meta = json.loads(meta_path(tmp_path / "depth.mkv").read_text())
    assert (meta["scale"], meta["formula"], meta["unit"]) == (
        1 / 256, "metres = value * scale", "0.00390625 metres",
    )  # fmt: skip


def test_frames_in_any_order_are_those_of_the_order_of_the_file(tmp_path):
    values = random_values(1, 40)
    path = write_values(tmp_path / "depth.mkv", values, fps=14.3)

    with DepthVideoReader(path) as reader:
        for number in np.random.default_rng(0).permutation(np.repeat(np.arange(40), 2)):
            assert np.array_equal(reader.raw(number), values[number])
        assert np.array_equal(reader.raw(-1), values[39])
        assert np.array_equal(list(reader), np.float32(values / 1000))
        with pytest.raises(IndexError):
            reader[40]


def test_time_stamps_are_kept_to_the_last_bit_and_one_frame_too_few_is_no_error(tmp_path):
    times = 1691883967.123 + np.cumsum(np.random.default_rng(0).uniform(0.06, 0.08, 6))

    path = write_values(tmp_path / "depth.mkv", random_values(0, 5), timestamps=times)

    with DepthVideoReader(path) as reader:
        assert reader.timestamps.tolist() == times[:5].tolist()
        assert (len(reader), reader.fps) == (5, 15.0)


def test_a_frame_without_a_time_stamp_is_refused(tmp_path):
    with pytest.raises(ValueError, match="frame 2 has no time stamp: 2 were given"):
        write_values(tmp_path / "depth.mkv", random_values(0, 3), timestamps=[0.0, 0.1])

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("depth", "found"),
    [
        (np.zeros((HEIGHT, WIDTH + 1), np.float32), r"depth is \[32, 49\] float32, expected \[32, 48\] floating"),
        (np.zeros((HEIGHT, WIDTH), np.uint16), r"depth is \[32, 48\] uint16, expected \[32, 48\] floating"),
    ],
)
def test_a_map_of_another_shape_or_type_is_refused(tmp_path, depth, found):
    with (
        pytest.raises(ValueError, match=found),
        DepthVideoWriter(tmp_path / "depth.mkv", WIDTH, HEIGHT, 15.0) as writer,
    ):
        writer.write(depth)


@pytest.mark.parametrize("numbers", [(1, 4, 15.0, 0.001), (4, 4, 0.0, 0.001), (4, 4, 1001.0, 0.001), (4, 4, 15, 0.0)])
def test_numbers_that_make_no_sense_are_refused(tmp_path, numbers):
    width, height, fps, scale = numbers
    with pytest.raises(ValueError, match="no video is"):
        DepthVideoWriter(tmp_path / "depth.mkv", width, height, fps, scale=scale)


def test_a_video_without_frames_is_refused_and_leaves_nothing(tmp_path):
    with (
        pytest.raises(DataError, match="no frame was written"),
        DepthVideoWriter(tmp_path / "depth.mkv", WIDTH, HEIGHT, 15.0),
    ):
        pass

    assert list(tmp_path.iterdir()) == []


def test_the_meta_says_all_that_another_program_needs(tmp_path):
    camera = Camera(WIDTH, HEIGHT, 40.0, 40.0, 23.5, 15.5)
    values = np.full((2, HEIGHT, WIDTH), 1234, np.uint16)
    values[0, 0] = 0
    path = write_values(
        tmp_path / "depth.mkv", values, camera=camera, method="zed neural", provenance={"episode": "LAB+1+2023"}
    )

    meta = json.loads((tmp_path / "depth_meta.json").read_text())

    software, digest = meta["provenance"].pop("software"), meta.pop("sha256")
    assert {"av", "numpy"} <= software.keys()
    assert len(digest) == 64
    assert meta == {
        "codec": "ffv1",
        "codec_version": 3,
        "pixel_format": "gray16le",
        "unit": "millimetre",
        "scale": 0.001,
        "formula": "metres = value / 1000",
        "invalid_value": 0,
        "depth": "z, along the camera's forward axis",
        "width": WIDTH,
        "height": HEIGHT,
        "fps": 15.0,
        "frame_count": 2,
        "timestamps": [0.0, 1 / 15],
        "counts": {
            "pixels": 3072,
            "invalid": 48,
            "saturated": 0,
            "raised": 0,
            "lost_frames": 0,
            "invalid_share": 48 / 3072,
        },
        "method": "zed neural",
        "camera": camera.to_dict(),
        "provenance": {"episode": "LAB+1+2023"},
        "bytes": path.stat().st_size,
    }
    assert read_depth_meta(meta_path(path)).camera == camera


def test_ffmpeg_and_opencv_read_the_same_values(tmp_path):
    import av
    import cv2

    values = random_values(3, 4)
    path = write_values(tmp_path / "depth.mkv", values)

    with av.open(str(path)) as container:
        assert np.array_equal([frame.to_ndarray() for frame in container.decode(video=0)], values)
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt, stream.average_rate) == ("ffv1", "gray16le", 15)
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_CONVERT_RGB, 0])
    for frame in values:
        is_read, found = capture.read()
        assert is_read
        assert np.array_equal(found.view(np.uint16).reshape(HEIGHT, WIDTH), frame)
    assert not capture.read()[0]


def test_every_frame_is_a_keyframe_of_four_slices_with_checksums(tmp_path):
    import av

    from mapanything_data.storage.depth_video.slices import _slices_from_end

    path = write_values(tmp_path / "depth.mkv", random_values(3, 3))

    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        assert [packet.is_keyframe for packet in packets] == [True] * 3
        assert [len(list(_slices_from_end(bytes(packet)))) for packet in packets] == [4] * 3


def test_a_lost_frame_has_no_depth_and_is_counted(tmp_path):
    with DepthVideoWriter(tmp_path / "depth.mkv", 16, 8, 15.0) as writer:
        writer.write(np.ones((8, 16), np.float32))
        writer.write_lost()

    with DepthVideoReader(tmp_path / "depth.mkv") as reader:
        assert not reader.raw(1).any()
        assert (reader.meta.counts.lost_frames, reader.meta.counts.invalid) == (1, 128)
    assert verify_depth_video(tmp_path / "depth.mkv") == []
