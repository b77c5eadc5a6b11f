"""Batches of views of an analytic scene: a sphere room seen by cameras that stand anywhere in it."""

from __future__ import annotations

import numpy as np
import torch

from mapanything_data.datasets.samples import ViewBatch, collate_views
from mapanything_data.datasets.views import make_view
from mapanything_data.scene import Camera, Pose

RADIUS_M = 10.0


def toy_sample(num_views=2, height=28, width=42, seed=0, dense=True, metric=True, holes=0.0):
    """A sample: cameras within a hollow sphere around the origin, exact depth, colours that depend on the place.

    `holes` is the share of pixels without depth.
    """
    rng = np.random.default_rng(seed)
    camera = Camera(width=width, height=height, fx=0.6 * width, fy=0.6 * width, cx=(width - 1) / 2, cy=(height - 1) / 2)
    poses = [Pose.from_quaternion(rng.normal(size=4), rng.uniform(-4, 4, 3)) for _ in range(num_views)]
    views = []
    for number, T_world_camera in enumerate(poses):
        depth, points = _cast(camera, T_world_camera)
        depth[rng.random(depth.shape) < holes] = 0
        image = (127.5 + 120 * np.sin(points)).astype(np.uint8)
        T_reference_camera = poses[0].inverse() @ T_world_camera
        view = make_view(image, depth, camera, T_reference_camera, data_norm_type="dinov2", depth_is_dense=dense)
        names = {"dataset": "toy", "label": f"toy/{seed}", "instance": f"{seed}/{number}"}
        flags = {
            "is_metric_scale": metric,
            "is_synthetic": dense,
            "idx": seed,
            "agent": number // 2,
            "agent_id": number // 2,
        }
        views.append(view | names | flags)
    return views


def toy_batch(size=2, seed=0, **options) -> ViewBatch:
    """`size` samples with consecutive seeds."""
    return collate_views([toy_sample(seed=seed + number, **options) for number in range(size)])


def as_double(batch):
    """The batch in float64, for gradient checks."""
    return [
        {k: v.double() if isinstance(v, torch.Tensor) and v.is_floating_point() else v for k, v in view.items()}
        for view in batch
    ]


def _cast(camera, T_world_camera):
    """z-depth [H, W] float32 and the points in the world [H, W, 3] where the rays leave the sphere."""
    x, y = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    rays = np.stack([(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy, np.ones_like(x, float)], -1)
    rays = rays @ T_world_camera.rotation.T
    centre = T_world_camera.translation
    a, b, c = (rays**2).sum(-1), rays @ centre, centre @ centre - RADIUS_M**2
    z = (-b + np.sqrt(b * b - a * c)) / a
    return z.astype(np.float32), centre + z[..., None] * rays
