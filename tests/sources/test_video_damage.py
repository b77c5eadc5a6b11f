"""Damaged video files: pictures are lost or doubtful, never shifted, and not passed off as good where it shows."""

import numpy as np
import pytest

from mapanything_data.scene import Frame
from mapanything_data.sim.clip import write_clip
from mapanything_data.sources.clip import BrokenClip, LostFrame
from mapanything_data.sources.video import VideoSource

FRAMES = 48
GROUP = 12
HEVC = f"keyint={GROUP}:min-keyint={GROUP}:log-level=none"
STREAMS = {
    "b-frames.mp4": ("libx264", {"g": f"{GROUP}", "bf": "2"}),
    "open-gop.mkv": ("libx264", {"g": f"{GROUP}", "bf": "2", "x264-params": "open-gop=1"}),
    "raw.h264": ("libx264", {"g": f"{GROUP}", "bf": "0"}),
    "raw-b-frames.h264": ("libx264", {"g": f"{GROUP}", "bf": "2"}),
    "no-times.avi": ("libx264", {"g": f"{GROUP}", "bf": "2"}),
    "hevc.mp4": ("libx265", {"x265-params": HEVC + ":open-gop=0"}),
    "raw.hevc": ("libx265", {"x265-params": HEVC + ":bframes=0"}),
    "mpeg4.mp4": ("mpeg4", {"g": f"{GROUP}", "bf": "2"}),
    "motion-jpeg.avi": ("mjpeg", {}),
}
SEEDS = range(8)


@pytest.fixture(scope="module")
def streams(tmp_path_factory):
    """Name: path, the pictures of the whole file, and (offset, bytes) of its packets."""
    import av

    folder = tmp_path_factory.mktemp("streams")
    found = {}
    for name, (codec, options) in STREAMS.items():
        pixel_format = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        path = write_clip(
            folder / name, frames=FRAMES, width=320, height=240, codec=codec, options=options, pixel_format=pixel_format
        )
        with av.open(str(path)) as container:
            packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
        found[name] = path, [frame.image for frame in frames_of(path)], packets
    return found


def frames_of(path, start=0):
    source = VideoSource(path=str(path))
    (clip,) = source.clips()
    return [frame for _, frame in source.frames(clip, start, len(clip.source_frames))]


def flipped(data, packet, rng):
    """Change eight bytes beyond the first sixteen of a packet."""
    offset, size = packet
    for _ in range(8):
        data[offset + int(rng.integers(min(16, size // 2), size))] ^= int(rng.integers(1, 256))


def zeroed(data, packet, rng):
    """Overwrite a stretch of a packet with zeros, as storage does that lost a sector."""
    offset, size = packet
    at = offset + int(rng.integers(min(16, size // 3), size // 2))
    length = min(256, offset + size - at - 8)
    data[at : at + length] = bytes(length)


def damaged_files(tmp_path, stream, damage):
    """Damage one packet, never the first or the last; yields its number and the frames that come out."""
    path, _, packets = stream
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        number = int(rng.integers(1, FRAMES - 1))
        data = bytearray(path.read_bytes())
        damage(data, packets[number], rng)
        bad = tmp_path / f"{seed} {path.name}"
        bad.write_bytes(data)
        yield number, frames_of(bad)


def fate(frame):
    if isinstance(frame, LostFrame):
        return "lost"
    return "doubtful" if frame.doubt else "whole"


def wrong_pictures(frames, whole):
    """Pictures that are passed off as good and are not."""
    return [
        frame.source_frame
        for frame in frames
        if fate(frame) == "whole" and not np.array_equal(frame.image, whole[frame.source_frame])
    ]


@pytest.mark.parametrize("name", ["b-frames.mp4", "open-gop.mkv", "raw.h264", "raw-b-frames.h264", "mpeg4.mp4"])
def test_flipped_bytes_cost_pictures_but_none_is_passed_off_as_good_or_shifted(tmp_path, streams, name):
    for number, frames in damaged_files(tmp_path, streams[name], flipped):
        assert [frame.source_frame for frame in frames] == list(range(FRAMES)), number
        assert wrong_pictures(frames, streams[name][1]) == [], number
        assert any(isinstance(frame, LostFrame) for frame in frames), number


@pytest.mark.parametrize("name", ["b-frames.mp4", "raw.h264", "hevc.mp4", "raw.hevc", "mpeg4.mp4"])
def test_zeroed_bytes_cost_pictures_but_none_is_passed_off_as_good_or_shifted(tmp_path, streams, name):
    for number, frames in damaged_files(tmp_path, streams[name], zeroed):
        assert [frame.source_frame for frame in frames] == list(range(FRAMES)), number
        assert wrong_pictures(frames, streams[name][1]) == [], number


@pytest.mark.parametrize("name", ["b-frames.mp4", "open-gop.mkv", "raw.h264", "hevc.mp4", "mpeg4.mp4"])
@pytest.mark.parametrize("damage", [flipped, zeroed])
def test_damage_ends_at_the_next_keyframe(tmp_path, streams, name, damage):
    for number, frames in damaged_files(tmp_path, streams[name], damage):
        if name == "raw.h264" and damage is zeroed:
            continue  # see test_missing_bytes_end_the_count_of_a_raw_stream
        lost = [frame.source_frame for frame in frames if fate(frame) != "whole"]
        # Damage in the middle of one group, and pictures at its borders that are coded with the neighbour.
        assert len(lost) <= GROUP + 2, (number, lost)
        assert all(number - GROUP - 2 <= at <= number + GROUP + 2 for at in lost), (number, lost)


def test_damage_in_motion_jpeg_costs_one_picture_and_is_mostly_noticed(tmp_path, streams):
    noticed = 0
    for number, frames in damaged_files(tmp_path, streams["motion-jpeg.avi"], flipped):
        lost = [frame.source_frame for frame in frames if isinstance(frame, LostFrame)]
        assert lost in ([], [number])
        assert set(wrong_pictures(frames, streams["motion-jpeg.avi"][1])) <= {number}
        noticed += bool(lost)
    assert noticed >= len(SEEDS) // 2


def test_missing_bytes_end_the_count_of_a_raw_stream(tmp_path, streams):
    path, whole, packets = streams["raw.hevc"]
    data = path.read_bytes()
    offset, size = packets[20]
    # The end of picture 20 and the beginning of picture 21, with its start code: the two melt into one packet.
    data = data[: offset + size - 40] + bytes(60) + data[offset + size + 20 :]
    bad = tmp_path / "raw.hevc"
    bad.write_bytes(data)
    frames = frames_of(bad)
    assert all(isinstance(frame, Frame) for frame in frames[:20])
    assert all(isinstance(frame, LostFrame) for frame in frames[20:])
    assert frames[25].reason == "bytes are missing in a stream without time stamps, so numbers after them are not known"
    assert wrong_pictures(frames, whole) == []


@pytest.mark.parametrize("number", range(19, 25))
def test_a_loss_among_reordered_pictures_without_times_ends_the_count(tmp_path, streams, number):
    path, whole, packets = streams["no-times.avi"]
    data = bytearray(path.read_bytes())
    offset, size = packets[number]
    data[offset : offset + size] = bytes(size)  # nothing but zeros: no picture, and no forbidden pattern either
    bad = tmp_path / "bad.avi"
    bad.write_bytes(data)
    frames = frames_of(bad)
    lost = [isinstance(frame, LostFrame) for frame in frames]
    assert len(frames) == FRAMES
    assert wrong_pictures(frames, whole) == []
    assert lost == sorted(lost)
    assert not lost[0]
    assert all(lost[number + 2 :])
    assert "have no other number than their count" in frames[30].reason


def test_lost_and_doubtful_frames_say_why(tmp_path, streams):
    path, _, packets = streams["b-frames.mp4"]
    data = bytearray(path.read_bytes())
    flipped(data, packets[GROUP], np.random.default_rng(0))
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(data)
    frames = frames_of(bad)
    assert frames[GROUP] == LostFrame(GROUP, 0.6, "the decoder found damage in it")
    assert frames[GROUP + 5].doubt == f"it may be predicted from picture {GROUP}, which is damaged or missing"


@pytest.mark.parametrize("name", ["b-frames.mp4", "open-gop.mkv", "hevc.mp4", "mpeg4.mp4"])
def test_what_is_lost_or_doubtful_does_not_depend_on_where_reading_begins(tmp_path, streams, name):
    path, _, packets = streams[name]
    data = bytearray(path.read_bytes())
    zeroed(data, packets[GROUP + 3], np.random.default_rng(1))
    bad = tmp_path / path.name
    bad.write_bytes(data)
    whole = [fate(frame) for frame in frames_of(bad)]
    assert {"lost", "doubtful"} <= set(whole)
    for start in range(1, FRAMES):
        assert [fate(frame) for frame in frames_of(bad, start)] == whole[start:], start


def test_joined_recordings_whose_times_start_again_are_refused(tmp_path):
    parts = [
        write_clip(tmp_path / f"{n}.ts", frames=20, width=64, height=48, seed=n, options={"bf": "0"}) for n in (1, 2)
    ]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))

    (clip,) = VideoSource(path=str(joined)).clips()

    assert isinstance(clip, BrokenClip)
    assert "its time stamps start again after 20 pictures" in str(clip.error)
