"""What a labeler is given: sweeps of others and of neighbouring moments, and the boxes of all that may have moved."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from opv2v_data import HEIGHT, WIDTH, make_snapshot, write_root

from mapanything_data.errors import DataError
from mapanything_data.labelers.protocol import Needs
from mapanything_data.stages.moments import TWO_WHEELER, MomentReader
from mapanything_data.storage.opv2v import OPV2V, read_annotation, read_index, write_annotation
from mapanything_data.storage.plain_yaml import dump_plain_yaml, read_plain_yaml

FRAMES = (68, 70, 72, 74)
FOLDER = "train/2021_08_16_22_26_00"


@pytest.fixture(scope="module")
def written_root(tmp_path_factory):
    return write_root(tmp_path_factory.mktemp("moments") / "opv2v", frames=FRAMES)


@pytest.fixture
def root(written_root, tmp_path):
    shutil.copytree(written_root.parent, tmp_path / "data")
    return tmp_path / "data" / "opv2v"


def moment(root, frame=70, agent=962, **needs):
    (scenario,) = read_index(root).scenarios
    return MomentReader(OPV2V(root=str(root)), scenario, agent, Needs(**needs)).moment(frame)


def senders(moment) -> list[tuple[int, int]]:
    return [(sweep.agent, sweep.frame) for sweep in moment.sweeps]


def test_what_is_not_needed_is_not_read(root):
    for path in [*root.rglob("*.pcd"), *root.with_name("opv2v_depth").rglob("*.npy")]:
        path.unlink()

    seen = moment(root)

    assert (seen.agent, seen.frame, seen.name, seen.sweeps) == (962, 70, "000070", [])
    assert sorted(seen.views) == [0, 1, 2, 3]
    assert (seen.views[0].camera.width, seen.views[0].camera.height) == (WIDTH, HEIGHT)
    assert seen.views[0].image is None
    assert seen.views[0].depth is None
    assert {box.id for box in seen.boxes} == {1007, 5}


def test_images_and_depth_are_those_of_the_frame(root):
    seen = moment(root, images=True, depth=True).views[2]

    exact = make_snapshot(962, 70).views[2]
    assert np.array_equal(seen.image, exact.image)
    assert np.array_equal(seen.depth, exact.depth)
    assert np.allclose(seen.T_world_camera.matrix, exact.T_world_camera.matrix, atol=1e-9)


def test_the_own_sweep_comes_first_then_neighbours_as_far_as_there_are_any(root):
    assert senders(moment(root, clouds=True)) == [(962, 70)]
    assert senders(moment(root, clouds=True, frames_before=3, frames_after=1)) == [(962, 70), (962, 68), (962, 72)]
    assert senders(moment(root, clouds=True, other_agents=True, frames_after=1)) == [
        (962, 70), (1007, 70), (962, 72), (1007, 72),
    ]  # fmt: skip


def test_an_agent_that_lacks_a_moment_is_left_out_there(root):
    for path in root.glob(f"{FOLDER}/1007/000070*"):
        path.unlink()

    assert senders(moment(root, clouds=True, other_agents=True)) == [(962, 70)]


def test_boxes_of_another_moment_are_those_that_any_agent_saw(root):
    seen = moment(root, clouds=True, frames_before=1)

    assert list(seen.boxes_at) == [68]
    # Agent 962 sees 1007 and 5; agent 1007 sees 962 and 5.
    assert {box.id for box in seen.boxes_at[68]} == {962, 1007, 5}


def test_a_vehicle_without_a_size_has_that_of_a_two_wheeler_at_another_moment(root):
    for agent in (962, 1007):
        path = root / FOLDER / str(agent) / "000068.yaml"
        annotation = read_annotation(path)
        extent = np.where((annotation.vehicles.ids == 5)[:, None], 0.0, annotation.vehicles.extent)
        write_annotation(path, replace(annotation, vehicles=replace(annotation.vehicles, extent=extent)))

    (box,) = (box for box in moment(root, clouds=True, frames_before=1).boxes_at[68] if box.id == 5)

    assert box.extent.tolist() == TWO_WHEELER.tolist()


def test_a_skew_is_told_before_anything_is_labelled(root):
    path = root / FOLDER / "962" / "000070.yaml"
    content = read_plain_yaml(path)
    content["camera1"]["intrinsic"][0][1] = 0.5
    path.write_text(dump_plain_yaml(content))

    with pytest.raises(DataError, match=r"000070\.yaml: camera1\.intrinsic is .* has skew 0\.5"):
        moment(root)


def test_pictures_are_opened_for_their_size_alone_where_nobody_wants_them(root):
    for path in root.glob(f"{FOLDER}/962/000070_camera*.png"):
        path.write_bytes(path.read_bytes()[:24])

    assert moment(root).views[3].camera.width == WIDTH
    with pytest.raises(DataError, match="truncated"):
        moment(root, images=True)


def test_a_damaged_file_of_another_moment_is_named(root):
    (root / FOLDER / "962" / "000068.yaml").write_text("[")

    with pytest.raises(DataError, match=r"962/000068\.yaml"):
        moment(root, clouds=True, frames_before=1)
