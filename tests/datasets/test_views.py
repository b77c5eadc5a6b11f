"""A view holds what multi-view models expect, and nothing in it contradicts anything else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

from mapanything_data.datasets.views import make_view
from mapanything_data.geometry.carla import matrix_from_carla_pose
from mapanything_data.scene import Camera, Distortion, Pose

CAMERA = Camera(width=6, height=4, fx=3.0, fy=4.0, cx=2.5, cy=1.0)
POSE = Pose(matrix_from_carla_pose([1.0, 2.0, 3.0, 10.0, 20.0, 30.0]))


def view(depth=None, **changes):
    image = np.arange(72, dtype=np.uint8).reshape(4, 6, 3)
    depth = np.full((4, 6), 2.0, np.float32) if depth is None else depth
    options = {"data_norm_type": "dinov2", "depth_is_dense": True} | changes
    return make_view(image, depth, options.pop("camera", CAMERA), POSE, **options)


def test_every_key_of_the_contract_has_its_shape_and_type():
    made = {key: (tuple(value.shape), value.dtype) for key, value in view().items() if key != "data_norm_type"}

    assert made == {
        "img": ((3, 4, 6), torch.float32),
        "depthmap": ((4, 6, 1), torch.float32),
        "depth_along_ray": ((4, 6, 1), torch.float32),
        "ray_directions_cam": ((4, 6, 3), torch.float32),
        "pts3d_cam": ((4, 6, 3), torch.float32),
        "pts3d": ((4, 6, 3), torch.float32),
        "camera_pose": ((4, 4), torch.float32),
        "camera_pose_quats": ((4,), torch.float32),
        "camera_pose_trans": ((3,), torch.float32),
        "camera_intrinsics": ((3, 3), torch.float32),
        "true_shape": ((2,), torch.int32),
        "valid_mask": ((4, 6), torch.bool),
        "non_ambiguous_mask": ((4, 6), torch.bool),
    }


def test_a_pixel_by_hand():
    # Column 4, row 3: x / z = (4 - 2.5) / 3 = 0.5, y / z = (3 - 1) / 4 = 0.5; |(0.5, 0.5, 1)| = sqrt(1.5).
    made = view()

    assert made["pts3d_cam"][3, 4].tolist() == [1.0, 1.0, 2.0]
    assert made["depth_along_ray"][3, 4].item() == pytest.approx(2 * 1.5**0.5)
    assert made["ray_directions_cam"][3, 4].numpy() == pytest.approx(np.array([0.5, 0.5, 1]) / 1.5**0.5)
    assert made["pts3d"][3, 4].numpy() == pytest.approx(POSE @ np.array([1.0, 1.0, 2.0]), abs=1e-6)
    assert made["true_shape"].tolist() == [4, 6]


def test_pictures_are_normalised_by_hand():
    # The pixel in column 1, row 0 is (3, 4, 5); DINOv2's green has mean 0.456 and deviation 0.224.
    assert view()["img"][1, 0, 1].item() == pytest.approx((4 / 255 - 0.456) / 0.224)
    assert view(data_norm_type="identity")["img"][:, 0, 1].numpy() == pytest.approx(np.array([3, 4, 5]) / 255)


@pytest.mark.parametrize("dense", [True, False])
def test_without_depth_there_are_zeros_and_only_dense_depth_calls_it_sky(dense):
    depth = np.full((4, 6), 2.0, np.float32)
    depth[0, :3] = 0

    made = view(depth, depth_is_dense=dense)

    for key in ("depthmap", "depth_along_ray", "pts3d_cam", "pts3d"):
        assert (made[key][0, :3] == 0).all(), key
        assert (made[key].abs().sum(-1) > 0).sum() == 21, key
    assert made["valid_mask"].sum() == 21
    assert made["non_ambiguous_mask"].sum() == (21 if dense else 24)


def test_the_pose_has_two_notations():
    made = view()
    x, y, z, w = made["camera_pose_quats"].tolist()

    # The third column of a rotation matrix in terms of its quaternion.
    third = [2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)]
    assert made["camera_pose"][:3, 2].tolist() == pytest.approx(third, abs=1e-6)
    assert made["camera_pose"][:3, 3].tolist() == made["camera_pose_trans"].tolist()


def test_changing_one_view_changes_no_other():
    view()["ray_directions_cam"].zero_()

    assert view()["ray_directions_cam"].norm(dim=-1).numpy() == pytest.approx(np.ones((4, 6)))


def test_a_bent_camera_is_refused():
    bent = Camera(6, 4, 3.0, 4.0, 2.5, 1.0, Distortion(k1=0.1))

    with pytest.raises(ValueError, match="rectify the pictures first"):
        view(camera=bent)


def test_sizes_must_agree():
    with pytest.raises(ValueError, match=r"depth \(4, 5\), expected the camera's \(4, 6\)"):
        view(np.ones((4, 5), np.float32))


def test_torch_makes_batches_of_views():
    batch = default_collate([view() | {"is_metric_scale": True, "label": "a", "idx": i} for i in range(2)])

    assert batch["img"].shape == (2, 3, 4, 6)
    assert (batch["is_metric_scale"].dtype, batch["label"], batch["idx"].tolist()) == (torch.bool, ["a", "a"], [0, 1])
