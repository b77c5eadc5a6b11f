"""Which points make a depth map: own and others', bodies, moving vehicles, neighbouring moments."""

from __future__ import annotations

import numpy as np
import pytest

from mapanything_data.errors import ConfigError
from mapanything_data.geometry.carla import matrix_from_carla_pose
from mapanything_data.labelers.lidar_depth import Agents, LidarDepth
from mapanything_data.labelers.protocol import LabelView, Moment, Sweep
from mapanything_data.scene import Box3D, Camera, PointCloud, Pose
from mapanything_data.storage.arrays import read_npy
from mapanything_data.storage.opv2v import read_depth
from mapanything_data.storage.png import decode_png

CAMERA = Camera(width=80, height=60, fx=40.0, fy=40.0, cx=40.0, cy=30.0)
T_CAMERA = Pose.identity()  # the camera stands in the LiDAR, so that points are where they are said to be


def sweep(*points, agent=1, frame=68, pose=(0, 0, 0, 0, 0, 0)) -> Sweep:
    array = np.array(points, np.float32).reshape(-1, 3)
    cloud = PointCloud(
        points=array,
        intensity=np.zeros(len(array), np.float32),
        T_world_lidar=Pose(matrix_from_carla_pose(pose)),
    )
    return Sweep(agent=agent, frame=frame, cloud=cloud)


def moment(*sweeps, boxes_at=None) -> Moment:
    return Moment(
        agent=1,
        frame=68,
        name="000068",
        views={0: LabelView(camera=CAMERA, T_world_camera=T_CAMERA)},
        boxes=(),
        sweeps=sweeps,
        boxes_at=boxes_at or {},
    )


def depth_of(moment: Moment, folder, **options):
    """The depth map as it is on the disk, and the row of the table."""
    labels = LidarDepth(**options).open().label(moment)
    for name, write in labels.files.items():
        write(folder / name)
    (row,) = labels.rows
    return read_depth(folder / "000068_camera0_depth.npy"), row


def pixels(depth) -> dict[tuple[int, int], float]:
    return {(int(column), int(row)): float(depth[row, column]) for row, column in np.argwhere(depth)}


def test_the_row_says_what_became_of_every_point(tmp_path):
    points = [(0, 0, 10), (0, 0, 30), (0, 0, -10), (0.5, 1, 2), (np.nan, 0, 1)]

    depth, row = depth_of(moment(sweep(*points)), tmp_path)

    assert pixels(depth) == {(40, 30): 10.0}
    # 30 m is behind 10 m in the same pixel; (0.5, 1, 2) is on the body: 0.5 m to the right, 2 m ahead.
    assert row == {
        "frame": "000068", "camera": 0, "points": 5, "hit": 1, "occluded": 1, "outside": 1,
        "ego_body": 1, "moving": 0, "not_finite": 1, "pixels": 1,
    }  # fmt: skip


def test_the_columns_are_those_of_the_rows(tmp_path):
    _, row = depth_of(moment(sweep((0, 0, 10))), tmp_path)

    assert list(row) == list(LidarDepth.columns)


def test_the_body_reaches_as_far_as_the_facts_say(tmp_path):
    on = [(1.09, 0, 2.9), (-1.09, 1, -1.9)]
    off = [(1.11, 0, 2.9), (1.0, 0, 2.96), (0, 1, -1.96)]

    _, row = depth_of(moment(sweep(*on, *off)), tmp_path)
    _, kept = depth_of(moment(sweep(*on, *off)), tmp_path, ego_body=False)

    assert (row["ego_body"], kept["ego_body"]) == (2, 0)


def test_a_roadside_unit_has_no_body(tmp_path):
    other = sweep((0, 0, 2), agent=-1, pose=(20, 0, 0, 0, 0, 0))

    depth, row = depth_of(moment(sweep(), other), tmp_path)

    assert pixels(depth) == {(40, 30): 22.0}
    assert row["ego_body"] == 0


def test_another_agents_points_come_through_the_world(tmp_path):
    # It stands 20 m ahead and looks back at us (yaw 180 degrees): its point 5 m ahead and 1 m to its right
    # is 15 m ahead of us and 1 m to our left: column 40 - 40 / 15 = 37.3.
    other = sweep((1, 0, 5), agent=2, pose=(20, 0, 0, 0, 180, 0))

    depth, _ = depth_of(moment(sweep(), other), tmp_path)

    assert pixels(depth) == {(37, 30): pytest.approx(15, abs=1e-4)}


def test_what_others_measured_of_the_own_body_is_no_obstacle(tmp_path):
    other = sweep((0, 0, -18), agent=2, pose=(20, 0, 0, 0, 0, 0))  # 2 m ahead of our LiDAR

    depth, row = depth_of(moment(sweep((0, 0, 10)), other), tmp_path)

    assert pixels(depth) == {(40, 30): 10.0}
    assert row["ego_body"] == 1


BOX = Box3D(
    T_world_box=Pose(matrix_from_carla_pose([10, 0, 0, 0, 0, 0])), extent=[1, 1, 2], label="vehicle", id=5
)  # from 8 to 12 m ahead


def test_moving_things_of_other_moments_are_taken_out_and_those_of_this_one_stay(tmp_path):
    then = sweep((0, 0, 8.1), (3, 0, 10), frame=66)
    now = sweep((0, 0.9, 8.5), agent=2)

    depth, row = depth_of(moment(sweep(), then, now, boxes_at={66: [BOX]}), tmp_path)

    # (3, 0, 10) is beside the box, at column 40 + 40 * 3 / 10.
    # (0, 0.9, 8.5) is in the box, but now, at row 30 + 40 * 0.9 / 8.5.
    assert pixels(depth) == {(52, 30): 10.0, (40, 34): 8.5}
    assert row["moving"] == 1


def test_boxes_have_a_margin(tmp_path):
    then = sweep((0, 0, 7.75), (0.2, 0, 7.6), frame=66)  # the box begins at 8 m, its margin at 7.7 m

    depth, row = depth_of(moment(sweep(), then, boxes_at={66: [BOX]}), tmp_path)
    _, without = depth_of(moment(sweep(), then, boxes_at={66: [BOX]}), tmp_path, box_margin=0.0)

    assert (row["moving"], without["moving"]) == (1, 0)
    assert depth.max() == np.float32(7.6)


def test_a_body_of_another_moment_stays_out_whatever_the_options(tmp_path):
    then = sweep((0, 0, 2.5), frame=66)

    depth, row = depth_of(moment(sweep(), then, boxes_at={66: []}), tmp_path, ego_body=False)

    assert not depth.any()
    assert row["ego_body"] == 1


def test_the_mask_says_where_depth_is(tmp_path):
    depth, _ = depth_of(moment(sweep((0, 0, 10))), tmp_path)

    mask = decode_png(tmp_path / "000068_camera0_mask.png")
    assert mask.dtype == np.uint8
    assert np.array_equal(mask, np.where(depth > 0, 255, 0))


def test_png_and_dense_are_written_only_when_asked_for(tmp_path):
    depth_of(moment(sweep((0, 0, 10))), tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["000068_camera0_depth.npy", "000068_camera0_mask.png"]


def test_dense_depth_lies_beside_the_measured_one_with_its_own_mask(tmp_path):
    x, y = np.meshgrid(np.arange(-8, 8.1, 0.75), np.arange(-5, 5.1, 0.75))  # a wall at 10 m, every third pixel
    wall = np.stack([x, y, np.full(x.shape, 10.0)], axis=-1).reshape(-1, 3)

    depth, _ = depth_of(moment(sweep(*wall)), tmp_path, dense=True, png=True)

    dense, mask = (
        read_npy(tmp_path / "000068_camera0_dense.npy"),
        decode_png(tmp_path / "000068_camera0_dense_mask.png"),
    )
    assert set(np.unique(mask)) == {0, 128, 255}
    assert np.array_equal(mask == 255, depth > 0)
    assert np.array_equal(dense[mask == 255], depth[mask == 255])
    assert np.allclose(dense[mask == 128], 10)
    assert (mask == 128).sum() > 3 * (mask == 255).sum()
    assert not dense[mask == 0].any()
    assert np.array_equal(read_depth(tmp_path / "000068_camera0_depth.png"), depth)  # 10 m is 2560 steps


def test_needs_follow_the_options():
    alone, together = LidarDepth().needs, LidarDepth(agents=Agents.all, sweeps_before=2, sweeps_after=1).needs

    assert (alone.clouds, alone.other_agents, alone.frames_before, alone.images, alone.depth) == (
        True,
        False,
        0,
        False,
        False,
    )
    assert (together.other_agents, together.frames_before, together.frames_after) == (True, 2, 1)


@pytest.mark.parametrize(
    "options",
    [
        {"sweeps_before": -1},
        {"occlusion_reach": 2.0},
        {"occlusion_slack": -0.1},
        {"dense_radius": 0},
        {"ego_body_side": float("nan")},
    ],
)
def test_options_that_make_no_sense_are_refused_by_name(options):
    with pytest.raises(ConfigError, match=f"labeler.{next(iter(options))}"):
        LidarDepth(**options)
