"""One view of a sample as the mapping of tensors that multi-view models train on (docs/datasets.md)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mapanything_data.scene import Camera, Pose

ViewDict: TypeAlias = "dict[str, Any]"
"""A view: torch tensors, numbers and text, which torch's default_collate makes batches of."""

NORMALISATIONS = {
    "dinov2": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # ImageNet's mean and deviation, as DINOv2 expects
    "identity": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
"""Mean and deviation of red, green and blue by `data_norm_type`; pictures are scaled to 0 to 1 first.

The option is text and no Enum: another model's normalisation is one more entry here, and nothing else.
"""


def make_view(
    image: NDArray[np.uint8],
    depth: NDArray[np.float32],
    camera: Camera,
    T_reference_camera: Pose,
    *,
    data_norm_type: str,
    depth_is_dense: bool,
) -> ViewDict:
    """The geometry of a view; who saw it, and when, is for the data set to add.

    Args:
        image: [H, W, 3] uint8 RGB.
        depth: [H, W] float32, z-depth in metres, 0 where there is none.
        camera: Without distortion, since a view has no place for it.
        T_reference_camera: This camera to the camera of the sample's first view.
        data_norm_type: One of `NORMALISATIONS`.
        depth_is_dense: Whether a pixel without depth shows something infinitely far, such as the sky, so that
            `non_ambiguous_mask` is False there. False where depth was measured at a few pixels: a pixel without depth
            says nothing then, and the mask is True everywhere.

    Returns:
        The keys of docs/datasets.md up to `non_ambiguous_mask`. Points are in the first view's frame, and 0 without
        depth.

    Raises:
        ValueError: The camera has distortion, or sizes differ.
    """
    import cv2
    import torch

    size = (camera.height, camera.width)
    if image.shape[:2] != size or depth.shape != size:
        raise ValueError(f"image is {image.shape[:2]} and depth {depth.shape}, expected the camera's {size}")
    rays, per_z = _unit_rays(camera)
    valid = depth > 0
    x, y = _axes(camera)
    right, down = depth * x, depth * y[:, None]
    in_camera = cv2.merge((right, down, depth))
    # Copied with a mask, points without depth, which would otherwise be where the camera is, are 0.
    points = cv2.copyTo(cv2.transform(in_camera, T_reference_camera.matrix[:3]), valid.view(np.uint8))
    return {
        "img": torch.from_numpy(normalise(image, data_norm_type)),
        "data_norm_type": data_norm_type,
        "depthmap": torch.from_numpy(depth[..., None]),
        "depth_along_ray": torch.from_numpy((depth * per_z)[..., None]),
        "ray_directions_cam": torch.from_numpy(rays.copy()),  # of its own, so that nobody changes the kept one
        "pts3d_cam": torch.from_numpy(in_camera),
        "pts3d": torch.from_numpy(points),
        "camera_pose": torch.from_numpy(T_reference_camera.matrix.astype(np.float32)),
        "camera_pose_quats": torch.from_numpy(T_reference_camera.quaternion.astype(np.float32)),
        "camera_pose_trans": torch.from_numpy(T_reference_camera.translation.astype(np.float32)),
        "camera_intrinsics": torch.from_numpy(camera.matrix.astype(np.float32)),
        "true_shape": torch.tensor(size, dtype=torch.int32),
        "valid_mask": torch.from_numpy(valid),
        "non_ambiguous_mask": torch.from_numpy(valid.copy() if depth_is_dense else np.ones_like(valid)),
    }


def normalise(image: NDArray[np.uint8], data_norm_type: str) -> NDArray[np.float32]:
    """A picture [H, W, 3] uint8 as [3, H, W] float32: scaled to 0 to 1, less the mean, over the deviation."""
    import cv2

    result = np.empty((3, *image.shape[:2]), np.float32)
    for channel, (plane, mean, deviation) in enumerate(
        zip(cv2.split(image), *NORMALISATIONS[data_norm_type], strict=True)
    ):
        # 256 divisions and a look-up for each pixel take half the time of arithmetic on each pixel.
        values = ((np.arange(256) / 255 - mean) / deviation).astype(np.float32)
        cv2.LUT(plane, values.reshape(1, 256), dst=result[channel])
    return result


def _axes(camera: Camera) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Of each column x / z, [W], and of each row y / z, [H]."""
    if camera.is_distorted:
        raise ValueError("the camera has distortion, which a view has no place for: rectify the pictures first")
    x = (np.arange(camera.width) - camera.cx) / camera.fx
    y = (np.arange(camera.height) - camera.cy) / camera.fy
    return x.astype(np.float32), y.astype(np.float32)


@lru_cache(maxsize=8)
def _unit_rays(camera: Camera) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Unit directions [H, W, 3] and their length for z = 1 [H, W].

    Kept, since all cameras of a rig are the same; 3 MB for each camera at 518x392.
    """
    x, y = _axes(camera)
    rays = np.empty((camera.height, camera.width, 3), np.float32)
    rays[..., 0], rays[..., 1], rays[..., 2] = x, y[:, None], 1
    per_z: NDArray[np.float32] = np.linalg.norm(rays, axis=-1)
    rays /= per_z[..., None]
    return rays, per_z
