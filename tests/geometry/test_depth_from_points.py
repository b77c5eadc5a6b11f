"""Depth maps of points: hand-made scenes, planes at any angle, and a street whose exact depth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opv2v_data import AGENTS, CAMERA_MOUNTS, LIDAR_MOUNT, agent_pose, cast, make_cloud, vehicles

from mapanything_data.geometry.carla import matrix_from_carla_pose
from mapanything_data.geometry.depth_from_points import Fate, Occlusion, depth_from_points
from mapanything_data.geometry.projection import project, unproject
from mapanything_data.scene import Camera, Pose

CAMERA = Camera(width=800, height=600, fx=400.0, fy=400.0, cx=400.0, cy=300.0)


def cloud(*points) -> np.ndarray:
    return np.array(points, np.float32).reshape(-1, 3)


def test_a_point_gives_its_pixel_its_z_depth():
    made = depth_from_points(CAMERA, cloud((5, 2.5, 10)))  # column 400 + 400 * 5 / 10, row 300 + 400 * 2.5 / 10

    assert np.argwhere(made.depth).tolist() == [[400, 600]]
    assert made.depth[400, 600] == 10  # and not the range, which is 11.46 m
    assert made.depth.dtype == np.float32


def test_points_are_moved_into_the_camera_first():
    T_camera_points = np.eye(4)
    T_camera_points[:3, 3] = [0, 0, 4]

    made = depth_from_points(CAMERA, cloud((0, 0, 6)), T_camera_points)

    assert made.depth[300, 400] == 10


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 0, 2]])
def test_the_nearest_point_of_a_pixel_wins_whatever_their_order(order):
    made = depth_from_points(CAMERA, cloud((0, 0, 5), (0, 0, 20), (0, 0, 5.3))[order])

    assert made.depth[300, 400] == 5
    # 5 m and its tolerance of 5 % and 0.2 m reach to 5.45 m.
    assert made.fate[np.argsort(order)].tolist() == [Fate.hit, Fate.hidden, Fate.hit]


def test_every_point_that_is_not_in_the_picture_has_its_fate():
    points = cloud((0, 0, 10), (0, 0, -10), (0, 0, 0.05), (100, 0, 10), (np.nan, 0, 10), (0, np.inf, 10))

    made = depth_from_points(CAMERA, points)

    assert [Fate(fate).name for fate in made.fate] == [
        "hit", "outside", "outside", "outside", "not_finite", "not_finite",
    ]  # fmt: skip


def test_a_pixel_reaches_half_a_pixel_around_its_centre():
    def x_of(column: float) -> float:
        return (column - 400) / 400

    points = cloud(*[(x_of(column), 0, 1) for column in (-0.51, -0.49, 0.49, 0.51, 799.49, 799.51)])

    made = depth_from_points(CAMERA, points)

    assert made.fate.tolist() == [Fate.outside, Fate.hit, Fate.hit, Fate.hit, Fate.hit, Fate.outside]
    assert np.argwhere(made.depth[300])[:, 0].tolist() == [0, 1, 799]


def test_no_points_give_an_empty_map():
    made = depth_from_points(CAMERA, cloud())

    assert not made.depth.any()
    assert len(made.fate) == 0


def test_points_of_another_dtype_are_refused():
    with pytest.raises(ValueError, match="float64, expected float32"):
        depth_from_points(CAMERA, np.zeros((1, 3)))


def grid(columns, rows, z) -> np.ndarray:
    """Points of a wall that faces the camera, at these pixels."""
    pixels = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    return unproject(CAMERA, pixels, np.full(len(pixels), float(z))).astype(np.float32)


def test_what_shines_through_between_the_points_of_a_near_wall_is_hidden():
    near = grid(np.arange(300, 400, 4), np.arange(200, 300, 4), z=5)
    far = grid(np.arange(310, 390, 3) + 0.2, np.arange(210, 290, 3) + 0.2, z=50)

    made = depth_from_points(CAMERA, np.concatenate([far, near]))

    assert set(made.depth[made.depth > 0].tolist()) == {5.0}
    assert (made.fate[: len(far)] == Fate.hidden).all()
    assert (made.fate[len(far) :] == Fate.hit).all()


def test_without_reach_only_the_pixel_itself_hides():
    near = grid(np.arange(300, 400, 4), np.arange(200, 300, 4), z=5)
    far = grid([351, 352], [252], z=50)  # the second shares its pixel with a near point

    made = depth_from_points(CAMERA, np.concatenate([far, near]), occlusion=Occlusion(reach=0))

    assert made.depth[252, 351:353].tolist() == [50, 5]


def test_what_is_seen_beside_a_near_wall_stays():
    near = grid(np.arange(300, 401, 4), np.arange(200, 301, 4), z=5)
    beside = np.concatenate(
        [
            grid([402], np.arange(200, 301, 3), 50),
            grid([298], np.arange(200, 301, 3), 50),
            grid(range(300, 400, 3), [198], 50),
        ]
    )

    made = depth_from_points(CAMERA, np.concatenate([beside, near]))

    assert (made.fate == Fate.hit).all()


@given(
    tilt=st.floats(-85, 85),
    turn=st.floats(0, 180),
    distance=st.floats(0.5, 20),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_no_plane_hides_itself(tilt, turn, distance, seed):
    """Whatever its angle: 9,999 of 10,000 pixels that a point of it falls into keep their depth."""
    a, b = np.deg2rad(tilt), np.deg2rad(turn)
    normal = np.array([np.sin(a) * np.cos(b), np.sin(a) * np.sin(b), np.cos(a)])
    pixels = np.random.default_rng(seed).uniform([0, 0], [799, 599], (20000, 2))
    rays = unproject(CAMERA, pixels, np.ones(len(pixels)))
    z = distance / (rays @ normal)
    points = (rays * z[:, None])[(z > 0.3) & (z < 120)].astype(np.float32)

    hit = depth_from_points(CAMERA, points).depth > 0
    covered = depth_from_points(CAMERA, points, occlusion=Occlusion(reach=0)).depth > 0

    assert (covered & ~hit).sum() <= 2 + 5e-4 * covered.sum()


def test_a_distorted_lens_moves_the_point():
    bent = Camera(width=800, height=600, fx=400.0, fy=400.0, cx=400.0, cy=300.0, distortion=(-0.2, 0, 0, 0, 0))
    point = cloud((5, 2.5, 10))
    pixels, _ = project(bent, point)

    made = depth_from_points(bent, point)

    ((row, column),) = np.argwhere(made.depth)
    assert (column, row) == tuple(np.rint(pixels[0]))
    assert column < 600  # barrel distortion pulls it in


def street(agents):
    """Clouds of a street (64 channels) in the world, and its boxes."""
    boxes = vehicles(68)
    points = []
    for agent in agents:
        T_world_lidar = agent_pose(agent, 68) @ Pose(matrix_from_carla_pose(LIDAR_MOUNT))
        others = [box for box in boxes if box.id != agent]
        points.append(T_world_lidar @ make_cloud(T_world_lidar, others, channels=64, steps=880).points)
    return np.concatenate(points), boxes


@pytest.mark.parametrize(
    ("agents", "least_removed"),
    [((962,), 0.6), (AGENTS, 0.9)],
    ids=["own", "merged"],
)
def test_in_a_street_nearly_all_that_is_kept_is_seen_and_nearly_all_that_is_seen_is_kept(agents, least_removed):
    world, boxes = street(agents)
    others = [box for box in boxes if box.id != 962]
    own = next(box for box in boxes if box.id == 962)
    world = world[~(np.abs(own.T_world_box.inverse() @ world) <= own.extent + 0.05).all(axis=1)]
    camera = Camera.from_fov(800, 600, np.deg2rad(100))
    kept_and_seen = kept = seen = hidden = hidden_and_removed = 0
    for mount in CAMERA_MOUNTS.values():
        T_world_camera = agent_pose(962, 68) @ Pose(matrix_from_carla_pose(mount))
        rays = world - T_world_camera.translation
        length = np.linalg.norm(rays, axis=1)
        is_seen = cast(T_world_camera.translation, rays / length[:, None], others) > 0.99 * length - 0.1

        fate = depth_from_points(camera, (T_world_camera.inverse() @ world).astype(np.float32)).fate

        is_kept, is_removed = fate == Fate.hit, fate == Fate.hidden
        kept_and_seen += (is_kept & is_seen).sum()
        kept += is_kept.sum()
        seen += (is_seen & (is_kept | is_removed)).sum()
        hidden += (~is_seen & (is_kept | is_removed)).sum()
        hidden_and_removed += (~is_seen & is_removed).sum()
    assert kept_and_seen / kept > 0.99
    assert kept_and_seen / seen > 0.99
    assert hidden_and_removed / hidden > least_removed
