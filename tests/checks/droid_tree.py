"""A small tree that `tracks` makes of generated episodes, and ways to spoil one thing in it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from droid_runs import draw_episodes, run_tracks

from mapanything_data.storage.droid import DroidDataset
from mapanything_data.storage.npz import read_npz, write_npz

STEPS = 40
FIRST = "MADELab/success/2023-08-12/2023-08-12-16h-00m-07s"
SECOND = "MADELab/success/2023-08-12/2023-08-12-16h-01m-07s"
WRIST, EXTERNAL = "11000001", "22000002"


def make_tree(folder: Path) -> DroidDataset:
    """Two episodes with intrinsics, depth and tracks; the second one's videos lack their last frame."""
    draw_episodes(folder / "recordings", 2, steps=STEPS)
    status = run_tracks(
        folder / "recordings",
        folder / "tree",
        book=folder / "recordings" / "intrinsics.json",
        steps=["intrinsics", "depth", "tracks"],
        occlusion_m=0.02,
        format="full",
    )
    assert status == 0
    return dataset_in(folder)


def sound_tree(tmp_path_factory) -> Path:
    """The folder of a tree and its recordings, made once for all tests, which copy it to spoil it."""
    folder = tmp_path_factory.getbasetemp() / "sound-droid"
    if not folder.exists():
        make_tree(folder)
    return folder


def dataset_in(folder: Path) -> DroidDataset:
    return DroidDataset(root=str(folder / "tree"), recordings=str(folder / "recordings"))


def copy_tree(source: Path, target: Path) -> DroidDataset:
    shutil.copytree(source, target)
    return dataset_in(target)


def edit_json(path: Path, edit) -> None:
    values = json.loads(path.read_text())
    edit(values)
    path.write_text(json.dumps(values))


def edit_npz(path: Path, **edits) -> None:
    """Replace arrays by what functions make of them, copies included."""
    arrays = read_npz(path)
    for name, edit in edits.items():
        arrays[name] = np.asarray(edit(arrays[name].copy()))
    write_npz(path, arrays)
