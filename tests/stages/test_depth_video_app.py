"""The depth_video app: verdicts on depth videos, and their frames as files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mapanything_data.errors import ConfigError, DataError
from mapanything_data.stages.depth_video import Action, DepthVideoConfig, Format, depth_video
from mapanything_data.storage.depth_video import DepthVideoWriter
from mapanything_data.storage.png import decode_png

VALUES = np.random.default_rng(0).integers(0, 1 << 16, (5, 24, 32), dtype=np.uint16)


def write_video(path, **options):
    with DepthVideoWriter(path, 32, 24, 15.0, method="sgbm", **options) as writer:
        for values in VALUES:
            writer.write_raw(values)
    return path


@pytest.fixture
def tree(tmp_path):
    """Two cameras of an episode."""
    for serial in ("11", "22"):
        write_video(tmp_path / "tree" / "recordings" / serial / "depth.mkv")
    return tmp_path / "tree"


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def decode(path, output, **options):
    return depth_video(DepthVideoConfig(path=str(path), action=Action.decode, output=str(output), **options))


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_sound_tree_is_ok(tree, capsys):
    assert depth_video(DepthVideoConfig(path=str(tree))) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("OK   recordings/11/depth.mkv  5 frames  32x24  0.0 MB (")
    assert lines[0].endswith("invalid  sgbm")
    assert lines[-1] == "OK: 2 of 2 depth videos are sound"


def test_a_damaged_video_fails_with_its_frame_and_the_others_are_looked_at(tree, capsys):
    flip_a_bit(tree / "recordings/11/depth.mkv")

    assert depth_video(DepthVideoConfig(path=str(tree))) == 4

    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "FAIL recordings/11/depth.mkv",
        "     its checksum (sha256) is not the one that its meta says",
        "     frame 2 is damaged: 1 slices have wrong checksums",
    ]
    assert lines[3].startswith("OK   recordings/22/depth.mkv")
    assert lines[-1] == "FAIL: 1 of 2 depth videos are sound"


def test_a_meta_whose_video_is_missing_fails(tree, capsys):
    (tree / "recordings/22/depth.mkv").unlink()

    assert depth_video(DepthVideoConfig(path=str(tree))) == 4
    assert "FAIL recordings/22/depth.mkv\n     cannot be read (No such file or directory)" in capsys.readouterr().out


def test_frames_become_png_files_of_16_bits_with_the_meta_beside_them(tree, tmp_path):
    assert decode(tree, tmp_path / "out") == 0

    numbers = [f"{number:06}.png" for number in range(5)]
    assert names(tmp_path / "out") == [
        f"recordings/{serial}/{name}" for serial in ("11", "22") for name in [*numbers, "depth_meta.json"]
    ]
    found = [decode_png(tmp_path / "out/recordings/22" / name) for name in numbers]
    assert np.array_equal(found, VALUES)
    meta = json.loads((tmp_path / "out/recordings/11/depth_meta.json").read_text())
    assert meta["formula"] == "metres = value / 1000"


def test_some_frames_become_arrays_of_metres(tmp_path):
    path = write_video(tmp_path / "depth.mkv", scale=0.0005)

    decode(path, tmp_path / "out", format=Format.npy, frames=[1, 3])

    assert names(tmp_path / "out") == ["000001.npy", "000002.npy", "depth_meta.json"]
    found = np.load(tmp_path / "out/000002.npy", allow_pickle=False)
    assert found.dtype == np.float32
    assert np.array_equal(found, (VALUES[2] * 0.0005).astype(np.float32))


def test_a_video_above_others_is_decoded_with_them(tree, tmp_path):
    write_video(tree / "depth.mkv")

    decode(tree, tmp_path / "out")

    assert len(names(tmp_path / "out")) == 18


def test_nothing_is_replaced_by_decoding(tree, tmp_path):
    (tmp_path / "out/recordings/22").mkdir(parents=True)
    (tmp_path / "out/recordings/22/mine.txt").touch()

    with pytest.raises(ConfigError, match="is there already"):
        decode(tree, tmp_path / "out")
    assert names(tmp_path / "out") == ["recordings/22/mine.txt"]


def test_a_damaged_video_leaves_no_frames_when_it_is_decoded(tree, tmp_path):
    flip_a_bit(tree / "recordings/11/depth.mkv")

    with pytest.raises(DataError, match="frame 2 is damaged"):
        decode(tree / "recordings/11/depth.mkv", tmp_path / "out")
    assert names(tmp_path) == [f"tree/{name}" for name in names(tree)]


@pytest.mark.parametrize("frames", [[0], [3, 3], [-1, 2], [0, 6], [0, 2, 4]])
def test_frames_that_are_not_there_are_refused(tree, tmp_path, frames):
    with pytest.raises(ConfigError, match=r"expected: \[start, stop\] within 0 and 5"):
        decode(tree, tmp_path / "out", frames=frames)
    assert not (tmp_path / "out").exists() or names(tmp_path / "out") == []


@pytest.mark.parametrize(("path", "found"), [("", "holds no depth.mkv"), ("nowhere", "is neither a file nor a folder")])
def test_a_path_without_depth_videos_is_refused(tmp_path, path, found):
    with pytest.raises(DataError, match=found):
        depth_video(DepthVideoConfig(path=str(tmp_path / path)))


def test_the_command_leaves_with_4_where_a_video_fails_and_2_where_it_cannot_begin(tree):
    flip_a_bit(tree / "recordings/11/depth.mkv")

    def run(*arguments):
        command = [sys.executable, "-m", "mapanything_data.depth_video", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])

    assert run(f"path={tree}").returncode == 4
    refused = run(f"path={tree}", "action=decode")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: output: is empty")
