"""Predictions with known errors, and their metrics derived a second time, with NumPy and SciPy, sample by sample."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from train.metrics.sample_metrics import sample_metrics
from train.views.prediction import assemble_prediction, truth_as_prediction


def oracle(batch, scale=2.0):
    return [truth_as_prediction(view, torch.full((len(view["idx"]), 1), scale)) for view in batch]


def said_with(batch, *, depth=1.0, turn=None, shift=0.0, rays=None, scale=1.0):
    """The truth with depth times a factor, cameras turned (after view 0) and shifted, and everything times a scale."""
    said = []
    for number, view in enumerate(batch):
        quats = Rotation.from_quat(view["camera_pose_quats"].numpy())
        turned = quats if turn is None or number == 0 else quats * turn
        said.append(
            assemble_prediction(
                rays=view["ray_directions_cam"] if rays is None else rays(view["ray_directions_cam"]),
                depth=view["depth_along_ray"] * depth,
                quats=torch.from_numpy(turned.as_quat().astype(np.float32)),
                trans=view["camera_pose_trans"] + (shift if number else 0.0),
                scale=torch.full((len(quats), 1), float(scale)),
                conf=torch.ones_like(view["valid_mask"], dtype=torch.float32),
                mask_logits=torch.ones_like(view["valid_mask"], dtype=torch.float32),
            )
        )
    return said


def values(batch, said):
    return {name: value.numpy() for name, value in sample_metrics(batch, said).items()}


def derived_anew(batch, said, b):
    """The metrics of one sample from NumPy and SciPy, pixel lists and loops."""

    def points_of(views):
        return [view["pts3d"][b].numpy().astype(float)[mask] for view, mask in zip(views, masks, strict=True)]

    masks = [view["valid_mask"][b].numpy() for view in batch]
    true_points, points = points_of(batch), points_of(said)
    true_size = np.linalg.norm(np.concatenate(true_points), axis=1).mean()
    size = np.linalg.norm(np.concatenate(points), axis=1).mean()
    true_z = [view["depthmap"][b, ..., 0].numpy().astype(float)[mask] for view, mask in zip(batch, masks, strict=True)]
    z = [view["pts3d_cam"][b, ..., 2].numpy().astype(float)[mask] for view, mask in zip(said, masks, strict=True)]
    true_R = [Rotation.from_quat(view["camera_pose_quats"][b].numpy()) for view in batch]
    R = [Rotation.from_quat(view["cam_quats"][b].numpy()) for view in said]
    true_t = np.array([view["camera_pose_trans"][b].numpy().astype(float) for view in batch])
    t = np.array([view["cam_trans"][b].numpy().astype(float) for view in said])

    def norm_ratio(p, g):
        p, g = (np.linalg.norm(x.reshape(len(x), -1), axis=1) for x in (p, g))
        return np.maximum(p / g, g / p)

    def error(p, g):
        return np.mean(
            np.linalg.norm((p - g).reshape(len(g), -1), axis=1) / np.linalg.norm(g.reshape(len(g), -1), axis=1)
        )

    def mean(of, ours, true):
        return np.mean([of(p, g) for p, g in zip(ours, true, strict=True)])

    pairs = []
    for i in range(len(batch)):
        for j in range(i + 1, len(batch)):
            turn = (R[i].inv() * R[j]).inv() * (true_R[i].inv() * true_R[j])
            step, true_step = R[i].inv().apply(t[j] - t[i]), true_R[i].inv().apply(true_t[j] - true_t[i])
            cosine = step @ true_step / np.linalg.norm(step) / np.linalg.norm(true_step)
            pairs.append(max(np.degrees(turn.magnitude()), np.degrees(np.arccos(np.clip(cosine, -1, 1)))))
    shares = np.cumsum(np.histogram(pairs, bins=np.arange(6))[0]) / len(pairs)
    scaled_t, scaled_true_t = t / size, true_t / true_size
    centred, true_centred = scaled_t - scaled_t.mean(0), scaled_true_t - scaled_true_t.mean(0)
    if len(batch) == 2:  # two points on a line each: half of what the lines differ in length, at both ends
        rssd = abs(np.linalg.norm(centred[0]) - np.linalg.norm(true_centred[0])) * np.sqrt(2)
    else:
        _, rssd = Rotation.align_vectors(true_centred, centred)
    cosines = [
        (view["ray_directions"][b].double() * truth["ray_directions_cam"][b].double()).sum(-1).clamp(-1, 1)
        for view, truth in zip(said, batch, strict=True)
    ]
    unit = [np.array(p) / size for p in points], [np.array(p) / true_size for p in true_points]
    unit_z = [p / size for p in z], [p / true_size for p in true_z]
    return {
        "points_abs_rel": mean(error, *unit),
        "points_inliers_103": 100 * mean(lambda p, g: np.mean(norm_ratio(p, g) < 1.03), *unit),
        "depth_abs_rel": mean(error, *unit_z),
        "depth_inliers_103": 100 * mean(lambda p, g: np.mean(norm_ratio(p, g) < 1.03), *unit_z),
        "ray_error_deg": np.mean([np.degrees(np.arccos(cosine.numpy())).mean() for cosine in cosines]),
        "pose_auc_5": 100 * shares.mean(),
        "ate_rmse": rssd / np.sqrt(len(batch)),
        "rotation_error_deg": np.mean([np.degrees((R[i].inv() * true_R[i]).magnitude()) for i in range(1, len(R))]),
        "translation_error": np.linalg.norm(scaled_t - scaled_true_t, axis=1)[1:].mean(),
        "scale_abs_rel": abs(size - true_size) / true_size,
        "metric_depth_abs_rel": mean(error, z, true_z),
        "metric_points_abs_rel": mean(error, points, true_points),
        "metric_translation_error_m": np.linalg.norm(t - true_t, axis=1)[1:].mean(),
    }


def random_prediction(batch, seed, strength):
    """Everything wrong by a random amount; view 0 stays in its place."""
    rng = np.random.default_rng(seed)

    def noise(like, size=1.0):
        return torch.from_numpy(rng.normal(size=tuple(like.shape)).astype(np.float32)) * strength * size

    said = []
    for number, view in enumerate(batch):
        quats, trans = view["camera_pose_quats"], view["camera_pose_trans"]
        said.append(
            assemble_prediction(
                rays=torch.nn.functional.normalize(
                    view["ray_directions_cam"] + noise(view["ray_directions_cam"]), dim=-1
                ),
                depth=(view["depth_along_ray"] + 1e-3) * torch.exp(noise(view["depth_along_ray"])),
                quats=torch.nn.functional.normalize(quats + noise(quats), dim=-1) if number else quats,
                trans=trans + noise(trans, 5.0) if number else trans,
                scale=torch.full((len(quats), 1), float(np.exp(strength * rng.normal()))),
                conf=torch.ones_like(view["valid_mask"], dtype=torch.float32),
                mask_logits=torch.ones_like(view["valid_mask"], dtype=torch.float32),
            )
        )
    return said
