"""The checked-in sample is what the town draws, sound, and split as training needs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import mujoco_gl
import numpy as np
import pytest

from mapanything_data.checks.opv2v import Checks
from mapanything_data.storage.manifest import read_manifest
from mapanything_data.storage.opv2v import OPV2V, read_index, read_snapshot

SAMPLE = Path(__file__).parents[1] / "fixtures" / "sample_opv2v"


@pytest.fixture(scope="module")
def drawn_again(tmp_path_factory):
    mujoco_gl.load()
    root = tmp_path_factory.mktemp("drawn") / "sample_opv2v"
    settings = read_manifest(SAMPLE, "opv2v", 1).settings
    options = [f"{name}={value}" for name, value in settings.items() if name != "source"]
    counts = ["source.train=1", "source.validate=0", "source.test=0"]
    command = [sys.executable, "-m", "mapanything_data.collect", "source=town", f"dataset.root={root}"]
    subprocess.run([*command, *options, *counts], check=True, capture_output=True)
    return root


def snapshots(root):
    depth_root = root.with_name("sample_opv2v_depth")
    for scenario in read_index(root, remembered=False).scenarios:
        for agent in scenario.agents:
            for frame in scenario.common_frames():
                key = scenario.key(agent, frame)
                yield str(key), read_snapshot(root, key, depth_root=depth_root)


def test_the_sample_is_what_the_town_draws(drawn_again):
    # Not byte by byte: compression and the last bits of a software renderer may differ between kinds of processors.
    kept, drawn = dict(snapshots(SAMPLE)), dict(snapshots(drawn_again))

    assert sorted(drawn) == sorted(key for key in kept if key.startswith("train/"))
    for key, drawn_snapshot in drawn.items():
        snapshot = kept[key]
        assert np.allclose(snapshot.T_world_agent.matrix, drawn_snapshot.T_world_agent.matrix, atol=1e-9)
        assert [box.id for box in snapshot.boxes] == [box.id for box in drawn_snapshot.boxes]
        assert len(snapshot.cloud.points) == pytest.approx(len(drawn_snapshot.cloud.points), abs=5)
        for number, view in snapshot.views.items():
            again = drawn_snapshot.views[number]
            assert np.abs(view.image.astype(int) - again.image).mean() < 1
            assert np.isclose(view.depth, again.depth, rtol=1e-3).mean() > 0.99


def test_the_sample_has_no_findings():
    checks = Checks(OPV2V(root=str(SAMPLE)))

    findings = checks.check_whole()
    for item in checks.item_names():
        findings += checks.check_item(item, lambda _: None)

    assert findings == []


def test_it_is_small_enough_to_be_checked_in():
    files = [path for root in (SAMPLE, SAMPLE.with_name("sample_opv2v_depth")) for path in root.rglob("*")]

    assert sum(path.stat().st_size for path in files if path.is_file()) < 3_000_000
