"""Video files: numbers, times, ranges, selection, and files that are no good."""

import pickle
import shutil
import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mapanything_data.errors import ConfigError, DataError
from mapanything_data.scene import Frame
from mapanything_data.sim.clip import read_frame_number, write_clip
from mapanything_data.sources.clip import BrokenClip, LostFrame
from mapanything_data.sources.video import VideoSource

CARND = Path(__file__).parents[2].parent / "shared" / "data" / "carnd" / "test_video.mp4"
FRAMES = 40
STREAMS = {
    "b-frames.mp4": ("libx264", {"g": "12", "bf": "3"}),
    "open-gop-h264.mp4": ("libx264", {"g": "12", "bf": "3", "x264-params": "open-gop=1"}),
    "open-gop-h264.ts": ("libx264", {"g": "12", "bf": "3", "x264-params": "open-gop=1"}),
    "intra-refresh.ts": ("libx264", {"g": "12", "bf": "0", "intra-refresh": "1"}),
    "open-gop-hevc.mkv": ("libx265", {"x265-params": "keyint=12:min-keyint=4:open-gop=1:log-level=none"}),
    "closed-gop-hevc.mp4": ("libx265", {"x265-params": "keyint=12:open-gop=0:log-level=none"}),
    "mpeg4.avi": ("mpeg4", {"g": "12", "bf": "2"}),
    "mpeg4.mp4": ("mpeg4", {"g": "12", "bf": "2"}),
    "vp9.webm": ("libvpx-vp9", {"g": "12", "cpu-used": "8", "deadline": "realtime"}),
    "mpeg2.ts": ("mpeg2video", {"g": "12", "bf": "2"}),
    "every-frame-a-key.mp4": ("libx264", {"g": "1"}),
    "raw.h264": ("libx264", {"g": "12", "bf": "0"}),
    "raw.hevc": ("libx265", {"x265-params": "keyint=12:bframes=0:log-level=none"}),
    "raw-b-frames.h264": ("libx264", {"g": "12", "bf": "3"}),
    "raw-b-frames.hevc": ("libx265", {"x265-params": "keyint=12:log-level=none"}),
    "h264-b-frames.avi": ("libx264", {"g": "12", "bf": "3"}),
}


@pytest.fixture(scope="module")
def streams(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streams")
    for name, (codec, options) in STREAMS.items():
        write_clip(folder / name, frames=FRAMES, width=160, height=96, codec=codec, options=options)
    return folder


def clip_of(path, **settings):
    source = VideoSource(path=str(path), **settings)
    (clip,) = source.clips()
    if isinstance(clip, BrokenClip):
        raise clip.error
    return source, clip


def read(path, start=0, stop=None, skip=(), **settings):
    source, clip = clip_of(path, **settings)
    return dict(source.frames(clip, start, len(clip.source_frames) if stop is None else stop, skip))


@pytest.mark.parametrize("name", STREAMS)
def test_every_frame_comes_out_once_in_order_under_its_number(streams, name):
    frames = read(streams / name)
    assert list(frames) == list(range(FRAMES))
    assert [frame.source_frame for frame in frames.values()] == list(range(FRAMES))
    assert [read_frame_number(frame.image) for frame in frames.values()] == list(range(FRAMES))


@pytest.mark.parametrize("name", STREAMS)
def test_decoding_from_the_middle_gives_the_pixels_of_decoding_from_the_beginning(streams, name):
    whole = read(streams / name)
    for start in (1, 9, 11, 12, 13, 23, 24, 25, 30, 39):
        part = read(streams / name, start)
        assert list(part) == list(range(start, FRAMES))
        assert all(np.array_equal(part[index].image, whole[index].image) for index in part), start


@pytest.mark.parametrize("name", ["b-frames.mp4", "raw.hevc", "vp9.webm"])
def test_skipped_frames_leave_the_others_as_they_are(streams, name):
    whole = read(streams / name, 5, 35)
    some = read(streams / name, 5, 35, skip={5, 6, 7, 20, 34})
    assert list(some) == [index for index in range(5, 35) if index not in {5, 6, 7, 20, 34}]
    assert all(np.array_equal(some[index].image, whole[index].image) for index in some)


@pytest.mark.parametrize("name", ["b-frames.mp4", "open-gop-h264.ts", "open-gop-hevc.mkv", "mpeg4.avi"])
def test_timestamps_count_from_the_first_frame(streams, name):
    _, clip = clip_of(streams / name)
    np.testing.assert_allclose(clip.timestamps, np.arange(FRAMES) / 20, atol=1e-9)
    assert clip.warnings == ()


def test_a_variable_frame_rate_keeps_its_times(tmp_path):
    times = [0.0, 0.04, 0.11, 0.3, 0.31, 0.5, 0.75]
    path = write_clip(tmp_path / "vfr.mp4", frames=7, width=96, height=64, timestamps=times)
    source, clip = clip_of(path, start=0.11, end=0.5)
    np.testing.assert_allclose(clip.timestamps, [0.11, 0.3, 0.31], atol=1e-6)
    assert [read_frame_number(frame.image) for _, frame in source.frames(clip, 0, 3)] == [2, 3, 4]


def test_a_raw_stream_takes_its_rate_from_its_header_or_from_the_setting(streams):
    _, clip = clip_of(streams / "raw.hevc")
    np.testing.assert_allclose(clip.timestamps, np.arange(FRAMES) / 20)  # x265 writes the rate into the stream
    assert clip.warnings == ("the file has no usable time stamps: 20 frames per second assumed (source.fps)",)
    _, clip = clip_of(streams / "raw.hevc", fps=10)
    np.testing.assert_allclose(clip.timestamps, np.arange(FRAMES) / 10)
    assert clip.warnings == ()


def test_time_range_and_stride_select_frames(streams):
    # 20 frames/s: [0.5, 1.5) holds frames 10 to 29, of which every seventh.
    source, clip = clip_of(streams / "b-frames.mp4", start=0.5, end=1.5, stride=7)
    assert clip.source_frames.tolist() == [10, 17, 24]
    np.testing.assert_allclose(clip.timestamps, [0.5, 0.85, 1.2])
    assert [read_frame_number(frame.image) for _, frame in source.frames(clip, 0, 3)] == [10, 17, 24]


def test_a_range_beyond_the_end_selects_nothing(streams):
    source, clip = clip_of(streams / "b-frames.mp4", start=9.0)
    assert len(clip.source_frames) == 0
    assert list(source.frames(clip, 0, 0)) == []


def test_resize_and_intrinsics_go_together(streams):
    # 160x96 to 40x48: fx / 4, fy / 2; the principal point keeps its place between the picture's outer edges.
    source, clip = clip_of(streams / "b-frames.mp4", resize=[40, 48], intrinsics=[100, 90, 79.5, 47.5])
    _, frame = next(source.frames(clip, 0, 1))
    assert frame.image.shape == (48, 40, 3)
    assert (clip.width, clip.height) == (40, 48)
    assert frame.camera == clip.camera
    assert (frame.camera.fx, frame.camera.fy, frame.camera.cx, frame.camera.cy) == (25, 45, 19.5, 23.5)


def test_shrinking_averages_over_areas(streams):
    (full,) = read(streams / "b-frames.mp4", 0, 1).values()
    (half,) = read(streams / "b-frames.mp4", 0, 1, resize=[80, 48]).values()
    means = full.image.astype(float).reshape(48, 2, 80, 2, 3).mean(axis=(1, 3))
    assert np.abs(half.image - means).max() <= 0.5


@pytest.mark.parametrize(
    ("turns", "matrix"), [(0, (1, 0, 0, 1)), (1, (0, 1, -1, 0)), (2, (-1, 0, 0, -1)), (3, (0, -1, 1, 0))]
)
def test_a_phone_video_is_turned_upright_with_its_camera(tmp_path, turns, matrix):
    path = write_clip(tmp_path / "phone.mp4", frames=3, width=160, height=96)
    (stored,) = read(path, 0, 1).values()
    _set_display_matrix(path, matrix)
    source, clip = clip_of(path, intrinsics=[100, 90, 70, 40])
    _, frame = next(source.frames(clip, 0, 1))
    assert np.array_equal(frame.image, np.rot90(stored.image, -turns))
    assert (clip.width, clip.height) == ((160, 96) if turns % 2 == 0 else (96, 160))
    # A point at column 70, row 40 moves to (95 - 40, 70), then (159 - 70, 95 - 40), then (40, 159 - 70).
    assert (frame.camera.cx, frame.camera.cy) == [(70, 40), (55, 70), (89, 55), (40, 89)][turns]
    assert (frame.camera.fx, frame.camera.fy) == ((100, 90) if turns % 2 == 0 else (90, 100))


def test_clips_are_small_and_cross_process_borders(streams):
    source, clip = clip_of(streams / "b-frames.mp4")
    again = pickle.loads(pickle.dumps(clip))
    assert len(pickle.dumps(clip)) < 4000
    assert len(list(source.frames(again, 3, 9))) == 6


def test_frames_before_the_edit_list_of_a_trimmed_file_do_not_count(tmp_path, streams):
    path = tmp_path / "trimmed.mp4"
    _remux(streams / "mpeg4.mp4", path, earlier=Fraction(5, 20))
    frames = read(path)
    numbers = [read_frame_number(frame.image) for frame in frames.values()]
    assert numbers == list(range(5, FRAMES))
    assert [frame.source_frame for frame in frames.values()] == list(range(FRAMES - 5))
    assert frames[0].timestamp == 0


def test_two_files_of_one_name_get_names_that_differ(tmp_path):
    for folder in "ab":
        (tmp_path / folder).mkdir()
        write_clip(tmp_path / folder / "cam.mp4", frames=1, width=96, height=64)
    source = VideoSource(path=[str(tmp_path / "a" / "cam.mp4"), str(tmp_path / "b" / "cam.mp4")])
    assert [clip.name for clip in source.clips()] == ["a/cam.mp4", "b/cam.mp4"]


def test_a_folder_is_read_in_natural_order_and_a_pattern_too(tmp_path):
    for name in ("ride 10.mp4", "ride 9.mp4", "Fahrt ü 1.mkv"):
        write_clip(tmp_path / name, frames=1, width=96, height=64)
    (tmp_path / "notes.txt").write_text("no video")
    (tmp_path / "._ride 9.mp4").write_bytes(b"written by another system")
    assert [clip.name for clip in VideoSource(path=str(tmp_path)).clips()] == [
        "Fahrt ü 1.mkv",
        "ride 9.mp4",
        "ride 10.mp4",
    ]
    assert [path.name for path in VideoSource(path=str(tmp_path / "ride*")).paths()] == ["ride 9.mp4", "ride 10.mp4"]


def test_a_name_with_brackets_is_a_file_before_it_is_a_pattern(tmp_path):
    path = write_clip(tmp_path / "ride [1].mp4", frames=1, width=96, height=64)
    assert VideoSource(path=str(path)).paths() == [path]


@pytest.mark.parametrize("path", ["missing.mp4", "missing/*.mp4"])
def test_a_missing_file_is_refused_by_name(tmp_path, path):
    with pytest.raises(DataError, match="missing"):
        VideoSource(path=str(tmp_path / path)).clips()


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no videos"):
        VideoSource(path=str(tmp_path)).clips()


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"stride": 0}, "source.stride"),
        ({"start": 2.0, "end": 2.0}, "source.end"),
        ({"resize": [640]}, "source.resize"),
        ({"intrinsics": [0.0, 1.0, 2.0, 3.0]}, "source.intrinsics"),
        ({"fps": 0.0}, "source.fps"),
        ({"path": 7}, "source.path"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(settings, key):
    with pytest.raises(ConfigError, match=key):
        VideoSource(**{"path": "x.mp4", **settings}).clips()


def test_one_bad_file_does_not_stop_the_others(tmp_path):
    write_clip(tmp_path / "1.mp4", frames=2, width=96, height=64)
    (tmp_path / "2.mp4").write_text("this is a text")
    (tmp_path / "3.mp4").write_bytes(b"")
    _write_sound(tmp_path / "4.mp4")
    whole = write_clip(tmp_path / "5.mp4", frames=30, width=96, height=64).read_bytes()
    (tmp_path / "5.mp4").write_bytes(whole[: len(whole) // 2])  # its index stood at the end
    good, *bad = VideoSource(path=str(tmp_path)).clips()
    assert len(good.source_frames) == 2
    assert all(isinstance(clip, BrokenClip) for clip in bad)
    assert [clip.error.found.split(" (")[0] for clip in bad] == [
        "cannot be read as a video",
        "the file is empty",
        "holds no video, only: audio",
        "cannot be read as a video",
    ]


def test_a_file_cut_in_the_middle_gives_what_it_holds_and_says_so(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", frames=38, width=160, height=96, options={"g": "8", "bf": "0"})
    cut = tmp_path / "cut.mp4"
    _remux(path, cut, options={"movflags": "faststart"})
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 6 // 10])
    source, clip = clip_of(cut)
    assert clip.warnings[0].startswith("the header promises 38 frames, the file holds ")
    frames = [frame for _, frame in source.frames(clip, 0, len(clip.source_frames))]
    assert len(frames) == len(clip.source_frames) < 38
    assert numbers_read_right(frames) >= len(frames) - 1


@pytest.mark.parametrize("name", ["open-gop-hevc.mkv", "open-gop-h264.ts", "raw.hevc"])
def test_a_cut_stream_gives_what_it_holds(tmp_path, streams, name):
    data = (streams / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) * 6 // 10])
    assert 15 < numbers_read_right(read(tmp_path / name).values()) < FRAMES


def test_a_cut_matroska_file_is_warned_about(tmp_path, streams):
    data = (streams / "open-gop-hevc.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) * 6 // 10])
    _, clip = clip_of(tmp_path / "cut.mkv")
    assert any(warning.startswith("the header promises 2.00 s, the pictures end at") for warning in clip.warnings)


def test_missing_pictures_show_as_a_gap_in_the_times(tmp_path):
    times = [n / 20 for n in range(40)]
    path = write_clip(tmp_path / "gap.mp4", frames=30, width=96, height=64, timestamps=times[:20] + times[30:])
    _, clip = clip_of(path)
    assert clip.warnings == ("1 gaps in the time stamps, the widest of 0.55 s after frame 19",)


def test_a_cover_picture_is_not_the_video(tmp_path, streams):
    import av

    path = tmp_path / "cover.mp4"
    with av.open(str(path), "w") as target, av.open(str(streams / "b-frames.mp4")) as source:
        cover = target.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        video = target.add_stream_from_template(source.streams.video[0])
        target.mux(cover.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))))
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = video
                target.mux(packet)
    _, clip = clip_of(path)
    assert (clip.width, clip.height, len(clip.source_frames)) == (160, 96, FRAMES)


def test_a_file_that_changed_since_it_was_planned_is_refused(tmp_path, streams):
    path = tmp_path / "clip.mp4"
    shutil.copy(streams / "b-frames.mp4", path)
    source, clip = clip_of(path)
    write_clip(path, frames=8, width=160, height=96, timestamps=[n * 0.07 for n in range(8)])
    with pytest.raises(DataError, match="not the one that was planned"):
        list(source.frames(clip, 0, 8))


def test_a_picture_of_another_size_is_lost(tmp_path):
    small = write_clip(tmp_path / "small.h264", frames=5, width=96, height=64, options={"bf": "0"})
    large = write_clip(tmp_path / "large.h264", frames=5, width=160, height=96, options={"bf": "0"})
    both = tmp_path / "both.h264"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    frames = list(read(both).values())
    assert [isinstance(frame, Frame) for frame in frames] == [True] * 5 + [False] * 5
    assert frames[7] == LostFrame(7, 0.35, "it is 160x96 in a recording of 96x64")


def test_a_real_drive_reads_whole():
    if not CARND.exists():
        pytest.skip("the real clip is not on this machine")
    frames = read(CARND)
    assert list(frames) == list(range(38))
    assert all(isinstance(frame, Frame) and frame.image.shape == (720, 1280, 3) for frame in frames.values())
    late = read(CARND, 30)
    assert np.array_equal(late[37].image, frames[37].image)


def numbers_read_right(frames):
    """How many frames are there; each shows the number it is given as."""
    there = [frame for frame in frames if isinstance(frame, Frame)]
    assert [read_frame_number(frame.image) for frame in there] == [frame.source_frame for frame in there]
    return len(there)


def _set_display_matrix(path, matrix):
    """The top-left 2x2 of the track header's matrix (ISO/IEC 14496-12, 8.3.2), as phones write it."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 4 + 20 + 16
    a, b, c, d = (value << 16 for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def _write_sound(path):
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _remux(source_path, target_path, options=None, earlier=Fraction(0)):
    import av

    with av.open(str(source_path)) as source, av.open(str(target_path), "w", options=options or {}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                ticks = int(earlier / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - ticks, packet.dts - ticks, stream
                target.mux(packet)
