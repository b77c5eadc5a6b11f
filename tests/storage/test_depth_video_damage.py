"""Depth videos that were cut off, damaged or killed: nothing half-written counts, no damage passes unseen."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from itertools import islice

import numpy as np
import pytest

from mapanything_data.errors import DataError
from mapanything_data.storage.depth_video import (
    DepthVideoReader,
    DepthVideoWriter,
    meta_path,
    verify_depth_video,
)
from mapanything_data.storage.depth_video import writer as writer_module

WIDTH, HEIGHT, FRAMES = 320, 240, 12


def maps():
    """A wavy wall with noise of 5 mm, metres."""
    rng = np.random.default_rng(0)
    columns, rows = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    for number in range(FRAMES):
        wall = 2 + 0.3 * np.sin((columns + 5 * number) / 40) + rows / HEIGHT
        yield (wall + rng.normal(0, 0.005, wall.shape)).astype(np.float32)


def write(path, count=FRAMES, **options):
    with DepthVideoWriter(path, WIDTH, HEIGHT, 15.0, **options) as writer:
        for depth in islice(maps(), count):
            writer.write(depth)
    return path


def edit_meta(video, **values):
    path = meta_path(video)
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return write(tmp_path_factory.mktemp("sound") / "depth.mkv")


@pytest.fixture
def copy(sound, tmp_path):
    """A depth video that may be spoilt."""
    for path in (sound, meta_path(sound)):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path / sound.name


def packets_of(path):
    import av

    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def test_a_flipped_bit_anywhere_in_a_picture_is_found_when_its_frame_is_read(copy):
    whole = copy.read_bytes()
    packets = packets_of(copy)
    rng = np.random.default_rng(0)
    for _ in range(40):
        number = int(rng.integers(FRAMES))
        content = packets[number]
        data = bytearray(whole)
        data[whole.index(content) + int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
        copy.write_bytes(data)

        with DepthVideoReader(copy) as reader:
            with pytest.raises(DataError, match=f"frame {number} is damaged: 1 slices have wrong checksums"):
                reader.raw(number)
            assert reader.raw((number + 1) % FRAMES).any()  # the others are still to be had
        assert verify_depth_video(copy)[1:] == [f"frame {number} is damaged: 1 slices have wrong checksums"]
        copy.write_bytes(whole)


def test_a_flipped_bit_anywhere_in_the_file_is_found_by_verify(copy):
    whole = copy.read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(25):
        data = bytearray(whole)
        data[int(rng.integers(len(whole)))] ^= 1 << int(rng.integers(8))
        copy.write_bytes(data)

        assert verify_depth_video(copy)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_truncated_video_is_refused(copy, share):
    whole = copy.read_bytes()
    copy.write_bytes(whole[: int(share * len(whole))])

    with pytest.raises(DataError, match="bytes") as raised:
        DepthVideoReader(copy)
    assert raised.value.where == str(copy)
    assert f"expected: {len(whole)}, as its meta says" in str(raised.value)
    (problem,) = verify_depth_video(copy)
    assert problem == f"is of {int(share * len(whole))} bytes, expected {len(whole)}, as its meta says"


def test_a_truncated_video_whose_meta_was_made_to_fit_still_lacks_its_frames(copy):
    whole = copy.read_bytes()
    copy.write_bytes(whole[: len(whole) // 2])
    edit_meta(copy, bytes=len(whole) // 2)

    problems = verify_depth_video(copy)

    assert problems[0] == "its checksum (sha256) is not the one that its meta says"
    assert any(problem.startswith("frame 11 ") for problem in problems)
    with DepthVideoReader(copy) as reader:
        assert reader.raw(0).any()
        with pytest.raises(DataError, match="frame 11 "):
            reader.raw(11)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"width": 322}, "expected ffv1 gray16le 322x240"),
        ({"fps": 14.0}, "frame 1 is missing in the video"),
        ({"frame_count": 13}, "frame_count 13 for 12 timestamps"),
        ({"frame_count": 13, "timestamps": [0.0] * 13}, "frame 12 is missing in the video"),
        ({"frame_count": 11, "timestamps": [0.0] * 11}, "it goes on after frame 10"),
        (
            {"counts": {"pixels": 1, "invalid": 7, "saturated": 0, "raised": 0, "lost_frames": 0}},
            "0 pixels are invalid, its meta says 7",
        ),
        ({"pixel_format": "gray16be"}, "pixel_format 'gray16be'"),
        ({"scale": 0}, "scale is 0, expected a positive number"),
        ({"sha256": "0"}, "its checksum (sha256) is not the one that its meta says"),
        ({"camera": {"width": 3}}, "missing keys"),
    ],
)
def test_a_meta_that_does_not_fit_the_video_is_found(copy, change, problem):
    edit_meta(copy, **change)

    assert any(problem in found for found in verify_depth_video(copy))


def test_a_video_without_meta_and_a_meta_without_video_are_told_apart(copy):
    meta = meta_path(copy).read_bytes()
    meta_path(copy).unlink()
    assert verify_depth_video(copy) == ["depth_meta.json the file is missing"]
    meta_path(copy).write_bytes(meta)
    copy.unlink()
    assert verify_depth_video(copy) == ["cannot be read (No such file or directory)"]


def test_an_ordinary_video_under_the_name_is_refused(copy):
    from mapanything_data.sim.clip import write_clip

    write_clip(copy, frames=2, width=WIDTH, height=HEIGHT)
    edit_meta(copy, bytes=copy.stat().st_size)

    with pytest.raises(DataError, match="h264"):
        DepthVideoReader(copy)


def test_an_error_while_writing_leaves_what_was_there_before(copy):
    before = {path.name: path.read_bytes() for path in copy.parent.iterdir()}

    with pytest.raises(RuntimeError, match="the sensor"), DepthVideoWriter(copy, WIDTH, HEIGHT, 15.0) as writer:
        writer.write(next(maps()))
        raise RuntimeError("the sensor went away")

    assert {path.name: path.read_bytes() for path in copy.parent.iterdir()} == before


def test_a_new_video_replaces_the_old_one_with_its_meta(copy):
    write(copy, count=3)

    assert verify_depth_video(copy) == []
    with DepthVideoReader(copy) as reader:
        assert len(reader) == 3


@pytest.mark.parametrize("in_scratch", [False, True], ids=["in place", "scratch"])
@pytest.mark.parametrize("limit", [100, 50_000, 300_000], ids=["start", "early", "middle"])
def test_a_full_disk_names_the_folder_and_leaves_nothing(tmp_path, limit, in_scratch):
    """The kernel refuses to write beyond a size of file, which is how a full disk shows, with another number."""
    scratch = tmp_path / "fast"
    scratch.mkdir()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as raised:
            write(tmp_path / "out" / "depth.mkv", scratch=scratch if in_scratch else "")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)

    assert raised.value.errno == errno.EFBIG
    assert raised.value.filename == str(scratch if in_scratch else tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    assert list(scratch.iterdir()) == []


def test_a_disk_that_fills_up_during_the_copy_out_of_scratch_leaves_nothing(tmp_path, monkeypatch):
    def refuse(source, target, length):
        target.write(source.read(1000))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer_module.shutil, "copyfileobj", refuse)

    with pytest.raises(OSError, match="No space left on device") as raised:
        write(tmp_path / "out" / "depth.mkv", scratch=tmp_path)

    assert raised.value.filename == str(tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_that_is_missing_or_may_not_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(OSError, match=str(tmp_path / "file")):
        write(tmp_path / "file" / "depth.mkv")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        write(tmp_path / "depth.mkv", scratch=tmp_path / "nowhere")


@pytest.mark.parametrize("in_scratch", [False, True], ids=["in place", "scratch"])
def test_a_kill_while_frames_are_written_leaves_no_video_and_the_next_writer_cleans_up(tmp_path, in_scratch):
    program = (
        "import itertools, numpy, sys\n"
        "from mapanything_data.storage.depth_video import DepthVideoWriter\n"
        "noise = numpy.random.default_rng(0).uniform(1, 9, (480, 640)).astype('f4')\n"
        "with DepthVideoWriter(sys.argv[1], 640, 480, 15, scratch=sys.argv[2]) as writer:\n"
        "    for number in itertools.count():\n"
        "        writer.write(noise)\n"
        "        print(number, flush=True)\n"
    )
    folder, scratch = tmp_path / "out", tmp_path / "fast"
    scratch.mkdir()
    running = subprocess.Popen(
        [sys.executable, "-c", program, folder / "depth.mkv", scratch if in_scratch else ""],
        stdout=subprocess.PIPE,
        env=dict(os.environ),
    )
    for _ in range(5):
        running.stdout.readline()
    running.kill()
    running.communicate()

    assert running.returncode == -signal.SIGKILL
    assert not (folder / "depth.mkv").exists()
    assert len(list(folder.iterdir())) == (0 if in_scratch else 1)
    assert list(scratch.iterdir()) == []
    (folder / "depth_meta.json.partial").write_text("of somebody else")

    write(folder / "depth.mkv")

    assert sorted(path.name for path in folder.iterdir()) == ["depth.mkv", "depth_meta.json", "depth_meta.json.partial"]
    assert verify_depth_video(folder / "depth.mkv") == []


@pytest.mark.parametrize("moment", ["before the meta", "before the video's name"])
def test_a_kill_between_meta_and_video_never_leaves_a_pair_that_does_not_fit(copy, moment):
    """The old video goes, the new meta comes, the new video takes its name; a kill may fall between any two."""
    program = (
        "import os, signal, sys\n"
        "import numpy, pathlib\n"
        "from mapanything_data.storage.depth_video import DepthVideoWriter, writer\n"
        "kill = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_meta = writer.write_depth_meta\n"
        "writer.write_depth_meta = kill if sys.argv[2] == 'before the meta' else lambda *a: (write_meta(*a), kill())\n"
        "with DepthVideoWriter(sys.argv[1], 64, 48, 15) as video:\n"
        "    video.write(numpy.ones((48, 64), 'f4'))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, copy, moment])

    assert done.returncode == -signal.SIGKILL
    assert not copy.exists()  # so that whoever looks for it sees that the work is not done
    write(copy)
    assert sorted(path.name for path in copy.parent.iterdir()) == ["depth.mkv", "depth_meta.json"]
    assert verify_depth_video(copy) == []
