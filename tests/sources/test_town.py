"""Scenarios of the simulated town: reproducible, consistent between agents, cameras and LiDAR."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace

import mujoco_gl
import numpy as np
import pytest

from mapanything_data.errors import ConfigError
from mapanything_data.geometry.carla import carla_pose_from_matrix, matrix_from_carla_pose
from mapanything_data.geometry.projection import in_image, pixel_grid, project, unproject
from mapanything_data.scene import Pose
from mapanything_data.sources.town import TownSource

mujoco_gl.load()

SMALL = {
    "train": 3, "validate": 1, "test": 1, "frames": 4, "min_agents": 3, "max_agents": 3, "width": 400, "height": 300,
    "lidar_steps": 360, "segmentation": True,
}  # fmt: skip
DIGEST = """
import hashlib, sys
sys.path[:0] = {path!r}
from test_town import digest, SMALL
from mapanything_data.sources.town import TownSource
source = TownSource(**SMALL)
with source.open(source.scenarios()[0]) as recorder:
    print(digest(recorder.snapshot({agent}, {frame})))
"""


def digest(snapshot):
    """A hash of every bit that a snapshot holds."""
    parts = [snapshot.T_world_agent.matrix, snapshot.speed, snapshot.timestamp, snapshot.cloud.points]
    parts += [snapshot.cloud.intensity, snapshot.cloud.T_world_lidar.matrix]
    for number, view in snapshot.views.items():
        parts += [view.image, view.depth, view.T_world_camera.matrix, snapshot.segmentation[number]]
    for box in snapshot.boxes:
        parts += [box.id, box.T_world_box.matrix, box.extent, snapshot.box_speeds[box.id]]
    return hashlib.sha256(b"".join(np.asarray(part).tobytes() for part in parts)).hexdigest()


@pytest.fixture(scope="module")
def scenario():
    return TownSource(**SMALL).scenarios()[0]


@pytest.fixture(scope="module")
def snapshots(scenario):
    """One moment of all agents."""
    with TownSource(**SMALL).open(scenario) as recorder:
        return {agent: recorder.snapshot(agent, scenario.frames[1]) for agent in scenario.agents}


def test_a_scenario_does_not_change_when_more_are_asked_for():
    few, many = TownSource(**SMALL).scenarios(), TownSource(**SMALL | {"train": 5, "validate": 0}).scenarios()

    assert [scenario.name for scenario in few] == [
        "town_train_0000", "town_train_0001", "town_train_0002", "town_validate_0000", "town_test_0000",
    ]  # fmt: skip
    assert [scenario.split for scenario in few] == ["train", "train", "train", "validate", "test"]
    assert few[:3] == many[:3]
    assert few[-1] == many[-1]
    assert len({scenario.agents for scenario in many}) == len(many)


def test_frames_are_those_of_a_simulation_at_20_hz_of_which_every_second_is_stored(scenario, snapshots):
    assert scenario.frames == (68, 70, 72, 74)
    assert all(snapshot.timestamp == 70 / 20 for snapshot in snapshots.values())


def test_another_process_and_another_order_give_the_same_bits(scenario, snapshots):
    agent, frame = scenario.agents[1], scenario.frames[1]
    program = DIGEST.format(path=[p for p in sys.path if p], agent=agent, frame=frame)
    program = program.replace("sys.path[:0] = [", f"sys.path[:0] = [{str(__file__).rsplit('/', 1)[0]!r}, ")

    # It chooses its OpenGL itself.
    environment = {name: value for name, value in os.environ.items() if name != "MUJOCO_GL"}

    other = subprocess.check_output([sys.executable, "-c", program], text=True, env=environment).strip()

    assert other == digest(snapshots[agent])


def test_agents_know_each_other_and_agree_on_every_box(snapshots):
    for agent, snapshot in snapshots.items():
        boxes = {box.id: box for box in snapshot.boxes}
        assert agent not in boxes
        assert boxes.keys() == snapshot.box_speeds.keys()
        assert len(boxes) > 50
        assert {box.label for box in snapshot.boxes} == {"vehicle"}  # as it is read back
        for other, there in snapshots.items():
            if other == agent:
                continue
            up = np.eye(4)
            up[1, 3] = -0.75  # a saloon is 1.5 m high; y points down
            assert np.array_equal((there.T_world_agent @ Pose(up)).matrix, boxes[other].T_world_box.matrix)
            assert np.array_equal(boxes[other].extent, [1.06, 0.75, 2.45])
            assert snapshot.box_speeds[other] == there.speed
            for box in there.boxes:
                if box.id in boxes:
                    assert box.T_world_box == boxes[box.id].T_world_box
        places = np.array([box.T_world_box.translation for box in boxes.values()])
        assert np.linalg.norm(places - snapshot.T_world_agent.translation, axis=1).max() < 121


def test_sensors_are_mounted_where_the_real_rig_has_them(snapshots):
    snapshot = next(iter(snapshots.values()))
    T_agent_world = snapshot.T_world_agent.inverse()
    mounts = {
        number: carla_pose_from_matrix((T_agent_world @ view.T_world_camera).matrix)
        for number, view in snapshot.views.items()
    }

    assert np.allclose(mounts[0], [2.5, 0, 1.0, 0, 0, 0])
    assert np.allclose(mounts[1], [0, 0.3, 1.8, 0, 100, 0])
    assert np.allclose(mounts[2], [0, -0.3, 1.8, 0, -100, 0])
    assert np.allclose(np.abs(mounts[3]), [2.0, 0, 1.5, 0, 180, 0])
    lidar = carla_pose_from_matrix((T_agent_world @ snapshot.cloud.T_world_lidar).matrix)
    assert np.allclose(lidar, [-0.5, 0, 1.9, 0, 0, 0])
    tilt = carla_pose_from_matrix(snapshot.T_world_agent.matrix)
    assert np.abs(tilt[[3, 5]]).max() > 0.2  # the hills are not flat
    assert np.allclose(matrix_from_carla_pose(tilt), snapshot.T_world_agent.matrix)


def neighbourhood(depth, pixels):
    """[N, 5, 5] depths around the nearest pixels; infinite in the sky and beyond the rim."""
    padded = np.pad(np.where(depth > 0, depth, np.inf).astype(float), 2, constant_values=np.inf)
    column, row = np.rint(pixels).astype(int).T
    return np.lib.stride_tricks.sliding_window_view(padded, (5, 5))[row, column]


def test_lidar_points_lie_on_the_surfaces_that_the_cameras_see(snapshots):
    """A point is on, or behind, what its pixel sees, within 4 deviations of noise and the spread around the pixel."""
    for snapshot in snapshots.values():
        world = snapshot.cloud.T_world_lidar @ snapshot.cloud.points
        for view in snapshot.views.values():
            points = view.T_world_camera.inverse() @ world
            pixels, visible = project(view.camera, points)
            visible &= in_image(view.camera, pixels)
            z, around = points[visible, 2], neighbourhood(view.depth, pixels[visible])
            nearest, farthest = around.min(axis=(1, 2)), around.max(axis=(1, 2))
            hidden = z > farthest + 0.08
            agrees = (z > nearest - 0.08)[~hidden]

            assert visible.sum() > 800
            assert hidden.mean() < 0.25
            assert agrees.mean() > 0.99


def test_what_one_camera_sees_another_agents_camera_sees_at_the_same_place(snapshots):
    """Points of one depth map, projected into another camera.

    Over a plane the inverse depth is linear in the pixel, so between four pixels on one plane the depth is exact at any
    place. There it must be that of the point, to 1 cm, unless something nearer hides the point; nothing may be farther.
    """
    pairs = 0
    views = [(agent, view) for agent, snapshot in snapshots.items() for view in snapshot.views.values()]
    for agent, a in views:
        seen = unproject(a.camera, pixel_grid(a.camera), a.depth)[a.depth > 0][::7]
        world = a.T_world_camera @ seen
        for other, b in views:
            if other == agent:
                continue
            z, depth, flat = seen_by(b, world)
            agrees, hidden = np.abs(depth - z) < 0.01, depth < z - 0.01
            if (flat & agrees).sum() < 200:
                continue
            pairs += 1
            assert (agrees | hidden)[flat].mean() > 0.995
            assert np.median(np.abs(depth - z)[flat & agrees]) < 1e-3
    assert pairs >= 6


def seen_by(view, world):
    """Of points in a picture: their depth, what the depth map says at their place, and whether it is flat there."""
    points = view.T_world_camera.inverse() @ world
    pixels, visible = project(view.camera, points)
    visible &= in_image(view.camera, pixels)
    points, pixels = points[visible], pixels[visible]
    u, v = np.clip(np.floor(pixels), 1, np.array([view.camera.width, view.camera.height]) - 3).astype(int).T
    with np.errstate(divide="ignore"):
        inverse = 1 / view.depth.astype(float)
    patch = inverse[(v[:, None] + np.arange(-1, 3))[:, :, None], (u[:, None] + np.arange(-1, 3))[:, None]]  # [N, 4, 4]
    with np.errstate(invalid="ignore"):
        bends = np.maximum(np.abs(np.diff(patch, 2, axis=1)).max((1, 2)), np.abs(np.diff(patch, 2, axis=2)).max((1, 2)))
    fu, fv = pixels[:, 0] - u, pixels[:, 1] - v
    flat = (bends < 1e-5) & (np.abs(fu - 0.5) <= 0.5) & (np.abs(fv - 0.5) <= 0.5)
    with np.errstate(invalid="ignore", divide="ignore"):
        top, bottom = (patch[:, row, 1] * (1 - fu) + patch[:, row, 2] * fu for row in (1, 2))
        return points[:, 2], 1 / (top * (1 - fv) + bottom * fv), flat


def test_vehicles_are_seen_where_their_boxes_are(snapshots):
    """Pixels of the class vehicle, 10, lie in some vehicle's box, the agent's own included."""
    agent, snapshot = next(iter(snapshots.items()))
    own = next(box for there in snapshots.values() for box in there.boxes if box.id == agent)
    boxes = [*snapshot.boxes, own]
    for number, view in snapshot.views.items():
        points = unproject(view.camera, pixel_grid(view.camera), view.depth)
        world = view.T_world_camera @ points[snapshot.segmentation[number] == 10]
        inside = [(np.abs(box.T_world_box.inverse() @ world) <= box.extent + 0.005).all(axis=1) for box in boxes]

        assert (
            np.any(inside, axis=0) | (np.linalg.norm(world - snapshot.T_world_agent.translation, axis=1) > 115)
        ).all()


def test_pictures_are_full_of_texture_and_of_many_classes(snapshots):
    for snapshot in snapshots.values():
        classes = np.unique(np.stack(list(snapshot.segmentation.values())))
        assert {0, 1, 7, 8, 9, 10} <= set(classes.tolist())
        for number, view in snapshot.views.items():
            grey = view.image.mean(axis=2)
            changes = (np.abs(np.diff(grey, axis=1)) > 1)[snapshot.segmentation[number][:, 1:] > 0]
            assert changes.mean() > 0.4
            assert ((view.depth == 0) == (snapshot.segmentation[number] == 0)).all()


def test_an_empty_town_holds_the_agents_alone_and_classes_are_drawn_only_when_asked_for():
    source = TownSource(**SMALL | {"segmentation": False, "width": 32, "height": 24, "traffic": 0.0})
    scenario = source.scenarios()[0]
    with source.open(scenario) as recorder:
        snapshot = recorder.snapshot(scenario.agents[0], 68)

    assert snapshot.segmentation == {}
    assert sorted(box.id for box in snapshot.boxes) == list(scenario.agents[1:])


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("frames", 0), ("train", -1), ("max_agents", 2), ("max_agents", 6), ("width", 401), ("height", 0),
        ("horizontal_fov", 180.0), ("lidar_channels", 1), ("lidar_range", float("nan")), ("traffic", 1.5),
        ("lidar_noise", -0.1), ("seed", -1), ("hills", 9.0),
    ],
)  # fmt: skip
def test_an_option_that_makes_no_sense_is_refused_by_its_name(option, value):
    with pytest.raises(ConfigError, match=rf"source\.{option}"):
        TownSource(**SMALL | {option: value})


def test_no_scenarios_at_all_is_refused():
    with pytest.raises(ConfigError, match="all 0"):
        replace(TownSource(**SMALL), train=0, validate=0, test=0).scenarios()
