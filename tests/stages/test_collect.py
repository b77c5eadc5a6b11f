"""A town is collected as an OPV2V data set: the same bytes however it is done, and killed collections go on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import mujoco_gl
import pytest

from mapanything_data.engine.executors.inline import InlineExecutor
from mapanything_data.errors import ConfigError, DataError
from mapanything_data.sources.town import TownSource
from mapanything_data.stages.collect import CollectConfig, collect
from mapanything_data.storage.opv2v import OPV2V, read_index, read_snapshot
from mapanything_data.storage.segments import SegmentsDataset

mujoco_gl.load()

SMALL = {
    "train": 1,
    "validate": 0,
    "test": 0,
    "frames": 2,
    "min_agents": 2,
    "max_agents": 2,
    "width": 96,
    "height": 72,
    "lidar_channels": 8,
    "lidar_steps": 90,
    "traffic": 0.2,
}


def run_collect(root: Path, dataset=None, **source) -> int:
    return collect(
        CollectConfig(
            machine={},
            source=TownSource(**{**SMALL, **source}),
            dataset=dataset or OPV2V(root=str(root)),
            executor=InlineExecutor(),
        )
    )


def command(root: Path, *arguments: str) -> list[str]:
    options = [f"source.{name}={value}" for name, value in SMALL.items()]
    return [sys.executable, "-m", "mapanything_data.collect", f"dataset.root={root}", *options, *arguments]


def contents(root: Path) -> dict[str, bytes]:
    """All files of the data set and of its depth maps but the records of the runs."""
    files = [path for folder in (root, root.with_name(f"{root.name}_depth")) for path in folder.rglob("*")]
    return {
        str(path.relative_to(root.parent)).replace(root.name, "town", 1): path.read_bytes()
        for path in sorted(files)
        if path.is_file() and ".mapanything" not in path.parts
    }


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    root = tmp_path_factory.mktemp("undisturbed") / "town"
    assert run_collect(root) == 0
    return root


@pytest.fixture
def copied(undisturbed, tmp_path):
    """A copy to be spoiled; building the town takes longer than copying what came of it."""
    shutil.copytree(undisturbed, tmp_path / "copy")
    shutil.copytree(undisturbed.with_name("town_depth"), tmp_path / "copy_depth")
    return tmp_path / "copy"


def test_every_agent_has_every_part_of_every_frame(undisturbed):
    (scenario,) = read_index(undisturbed, remembered=False).scenarios

    assert scenario.split == "train"
    assert len(scenario.agents) == 2
    assert len(scenario.common_frames()) == 2
    for agent in scenario.agents.values():
        for parts in agent.parts.values():
            assert parts == {"yaml", "pcd", "camera0", "camera1", "camera2", "camera3"}
    snapshot = read_snapshot(
        undisturbed,
        scenario.key(*next((agent, frame) for agent in scenario.agents for frame in scenario.common_frames())),
        depth_root=undisturbed.with_name("town_depth"),
    )
    assert all((view.depth > 0).any() for view in snapshot.views.values())
    assert len(snapshot.cloud.points) > 100


def test_two_worker_processes_give_the_same_bytes(undisturbed, tmp_path):
    done = subprocess.run(
        command(tmp_path / "again", "executor=processes", "executor.workers=2"), capture_output=True, text=True
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert contents(tmp_path / "again") == contents(undisturbed)


def test_a_killed_collection_goes_on_and_gives_the_same_bytes(undisturbed, tmp_path):
    root = tmp_path / "killed"
    process = subprocess.Popen(command(root), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and len(list(root.rglob("*_camera*.png"))) < 6:
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()

    again = subprocess.run(command(root), capture_output=True, text=True)

    assert (again.returncode, again.stderr) == (0, "")
    assert contents(root) == contents(undisturbed)


def test_a_frame_that_lost_a_file_is_drawn_again_and_no_other(undisturbed, copied):
    first, second = sorted(copied.rglob("000070.yaml"))
    first.unlink()
    depth = next(copied.with_name("copy_depth").rglob(f"{second.parent.name}/000068_camera2_depth.npy"))
    depth.unlink()
    untouched = first.with_name("000068.yaml")
    before = untouched.stat().st_mtime_ns

    assert run_collect(copied) == 0

    assert contents(copied) == contents(undisturbed)
    assert untouched.stat().st_mtime_ns == before


def test_a_collection_grows_by_scenarios_and_the_others_stay(undisturbed, copied):
    assert run_collect(copied, train=2) == 0

    grown = contents(copied)
    assert len(read_index(copied).scenarios) == 2
    assert {name: grown[name] for name in contents(undisturbed)} == contents(undisturbed)


def test_other_settings_are_refused_and_nothing_is_touched(undisturbed, copied):
    with pytest.raises(DataError, match=r"source\.seed was 0 and is now 1"):
        run_collect(copied, seed=1)
    assert contents(copied) == contents(undisturbed)


def test_a_folder_that_holds_something_else_is_refused(tmp_path):
    (tmp_path / "OPV2V" / "train").mkdir(parents=True)

    with pytest.raises(DataError, match="no manifest"):
        run_collect(tmp_path / "OPV2V")


def test_a_data_set_that_cannot_hold_agents_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="dataset=opv2v"):
        run_collect(tmp_path, dataset=SegmentsDataset(root=str(tmp_path)))


def test_exact_depth_is_not_written_in_a_layout_that_would_round_it(tmp_path):
    with pytest.raises(ConfigError, match=r"dataset\.depth_layout"):
        run_collect(tmp_path, dataset=OPV2V(root=str(tmp_path), depth_layout="numbered_png"))


def test_depth_does_not_go_into_the_data_set(tmp_path):
    with pytest.raises(ConfigError, match=r"dataset\.depth_root"):
        run_collect(
            tmp_path / "town", dataset=OPV2V(root=str(tmp_path / "town"), depth_root=str(tmp_path / "town/depth"))
        )


def test_a_file_is_no_root(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"dataset\.root.*is a file"):
        run_collect(tmp_path / "file")
