"""Views of OPV2V against a street whose every surface is known."""

from __future__ import annotations

import numpy as np
import pytest
from opv2v_data import CAMERA_MOUNTS, HEIGHT, WALL_AHEAD, WIDTH, agent_pose, cast, vehicles

from mapanything_data.datasets.opv2v import OPV2VCoopFinetune, OPV2VFinetune
from mapanything_data.geometry.carla import matrix_from_carla_pose
from mapanything_data.scene import Pose
from mapanything_data.storage.opv2v import read_annotation, write_annotation


def coop(root, **options):
    defaults = {
        "resolution": [WIDTH, HEIGHT],
        "depth_is_dense": True,
        "num_views": 8,
        "allow_variable_view_count": False,
        "random_crop": False,
    }
    return OPV2VCoopFinetune(root=str(root), **defaults | options)


@pytest.fixture(scope="module")
def views(sound_root):
    """All eight views of two agents at frame 68, at the size of their pictures."""
    return coop(sound_root).test_dataset()[0]


def T_world_camera(view):
    """From the description of the scene, not from its files."""
    agent, frame, camera = view["instance"].split("/")
    mount = CAMERA_MOUNTS[int(camera.removeprefix("camera"))]
    return agent_pose(int(agent), int(frame)).matrix @ matrix_from_carla_pose(mount)


def in_world(views, index):
    """The points of a view in the world, [H, W, 3], by where the scene has view 0."""
    return Pose(T_world_camera(views[0])) @ views[index]["pts3d"].double().numpy()


def test_view_0_is_the_reference_camera_of_the_ego_and_stands_at_the_origin(views):
    assert views[0]["instance"] == "962/000068/camera0"
    assert views[0]["camera_pose"].numpy() == pytest.approx(np.eye(4), abs=0)
    assert views[0]["camera_pose_quats"].tolist() == [0, 0, 0, 1]


def test_poses_are_those_of_the_scene_in_the_frame_of_view_0(views):
    T_reference_world = np.linalg.inv(T_world_camera(views[0]))

    for view in views:
        pose = view["camera_pose"].numpy()
        assert pose == pytest.approx(T_reference_world @ T_world_camera(view), abs=2e-6)
        assert np.linalg.det(pose[:3, :3]) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("resolution", [(80, 60), (56, 42), (60, 42), (40, 30)])
def test_depth_intrinsics_and_pose_give_the_points(sound_root, resolution):
    for view in coop(sound_root, resolution=list(resolution)).test_dataset()[0]:
        K, pose = view["camera_intrinsics"].double().numpy(), view["camera_pose"].double().numpy()
        v, u = np.mgrid[: resolution[1], : resolution[0]]
        pixels = np.stack([u, v, np.ones_like(u)], axis=-1)
        in_camera = (pixels @ np.linalg.inv(K).T) * view["depthmap"].numpy()
        points = in_camera @ pose[:3, :3].T + pose[:3, 3]
        valid = view["valid_mask"].numpy()

        assert valid.mean() > 0.4
        np.testing.assert_allclose(view["pts3d_cam"].numpy()[valid], in_camera[valid], atol=1e-4)
        np.testing.assert_allclose(view["pts3d"].numpy()[valid], points[valid], atol=1e-4)
        np.testing.assert_allclose(
            view["ray_directions_cam"].numpy() * view["depth_along_ray"].numpy(), in_camera, atol=1e-4
        )
        assert (view["pts3d"].numpy()[~valid] == 0).all()
        assert (view["non_ambiguous_mask"].numpy() == valid).all()


def test_every_point_lies_on_a_surface_of_the_street(views):
    for index, view in enumerate(views):
        points = in_world(views, index)[view["valid_mask"].numpy()]
        agent = int(view["instance"].split("/")[0])
        on_ground = np.abs(points[:, 1]) < 1e-3
        on_wall = np.abs(points[:, 2] - WALL_AHEAD) < 1e-3
        on_box = np.zeros(len(points), bool)
        for box in vehicles(68):
            if box.id != agent:
                inside = np.abs(box.T_world_box.inverse() @ points) / box.extent
                on_box |= np.abs(inside.max(axis=-1) - 1) < 1e-3

        assert (on_ground | on_wall | on_box).all()
        assert on_ground.sum() > 100


def test_scaled_down_ground_points_stay_on_the_ground(sound_root):
    # A depth from half a pixel of the source further (f = 33.6 pixels, at half size 1 of its own pixels is 2 of these)
    # moves a point on the ground, seen from h above it at depth z, by z / (2 f) up or down.
    views = coop(sound_root, resolution=[40, 30]).test_dataset()[0]
    reference = Pose(T_world_camera(views[0]))
    shifts = []
    for view in views:
        camera = T_world_camera(view)
        K = view["camera_intrinsics"].double().numpy()
        v, u = np.mgrid[:30, :40]
        directions = np.stack([u, v, np.ones_like(u)], axis=-1).reshape(-1, 3) @ np.linalg.inv(K).T @ camera[:3, :3].T
        agent = int(view["instance"].split("/")[0])
        others = [box for box in vehicles(68) if box.id != agent]
        ground = -camera[1, 3] / np.where(directions[:, 1] > 0.05, directions[:, 1], np.nan)
        is_ground = np.isclose(cast(camera[:3, 3], directions, others), ground)
        points = (reference @ view["pts3d"].double().numpy()).reshape(-1, 3)[is_ground]
        near = (depth := view["depthmap"].numpy().reshape(-1)[is_ground]) < 20
        off_edges = np.abs(points[:, 1]) < 0.5  # beside a car the nearest pixel may be of the car
        bound = depth * np.hypot(1, 1) / (2 * 33.6) * 1.1
        assert (np.abs(points[:, 1]) <= bound)[near & off_edges].all()
        assert (near & off_edges).sum() > 50
        shifts.append(points[near & off_edges, 1].mean())
    assert abs(np.mean(shifts)) < 0.02


def test_two_agents_see_a_point_of_the_wall_in_one_place(views):
    # Both look at the wall nearly head-on, so that points between pixel centres may be interpolated.
    x, y = np.meshgrid(np.linspace(-15, 9, 7), np.linspace(-8.5, -6, 4))
    wall = np.stack([x, y, np.full_like(x, WALL_AHEAD)], axis=-1).reshape(-1, 3)
    seen = []
    for index in (0, 1):
        view = views[index]
        assert view["instance"].endswith("camera0")
        p = (np.linalg.inv(T_world_camera(view)) @ np.c_[wall, np.ones(len(wall))].T)[:3]
        u, v, _ = view["camera_intrinsics"].double().numpy() @ (p / p[2])
        left, top = np.floor(u).astype(int), np.floor(v).astype(int)
        right, below = (u - left)[:, None], (v - top)[:, None]
        grid = view["pts3d"].double().numpy()
        upper = (1 - right) * grid[top, left] + right * grid[top, left + 1]
        lower = (1 - right) * grid[top + 1, left] + right * grid[top + 1, left + 1]
        seen.append((1 - below) * upper + below * lower)

    assert views[1]["agent_id"] != views[0]["agent_id"]
    np.testing.assert_allclose(seen[0], seen[1], atol=0.02)
    np.testing.assert_allclose(Pose(T_world_camera(views[0])) @ seen[0], wall, atol=0.02)


def test_a_world_whose_origin_is_far_away_loses_nothing(root):
    # In float32, coordinates of 50 km have steps of 4 mm.
    near = coop(root).test_dataset()[0]
    far = np.eye(4)
    far[:3, 3] = [50_000, 0, -30_000]
    for path in root.glob("validate/*/*/000068.yaml"):
        annotation = read_annotation(path)
        moved = {
            number: type(camera)(
                T_world_camera=Pose(far) @ camera.T_world_camera,
                T_camera_lidar=camera.T_camera_lidar,
                intrinsics=camera.intrinsics,
            )
            for number, camera in annotation.cameras.items()
        }
        kept = {name: getattr(annotation, name) for name in annotation.__slots__ if name != "cameras"}
        write_annotation(path, type(annotation)(**kept, cameras=moved))

    for one, other in zip(near, coop(root).test_dataset()[0], strict=True):
        np.testing.assert_allclose(one["pts3d"].numpy(), other["pts3d"].numpy(), atol=1e-5)


def test_sparse_depth_keeps_what_it_has(root):
    rng = np.random.default_rng(0)
    for path in root.with_name("opv2v_depth").rglob("*.npy"):
        depth = np.load(path)
        np.save(path, np.where(rng.random(depth.shape) < 0.02, depth, 0).astype(np.float32))
    stored = np.load(next(root.with_name("opv2v_depth").glob("validate/*/962/000068_camera0_depth.npy")))
    options = OPV2VFinetune(root=str(root), resolution=[40, 30], num_views=1)

    (view,) = options.test_dataset()[0]

    assert view["non_ambiguous_mask"].all()
    assert view["valid_mask"].sum() > 0.9 * (stored > 0).sum()
    assert set(view["depthmap"].numpy().ravel()) <= set(stored.ravel())
