"""The terms of the loss once more: NumPy, float64, one sample, pixel by pixel, written from docs/losses.md."""

from __future__ import annotations

import math

import numpy as np


def reference_terms(views, predictions, *, confidence_weight=0.2, percent=5, relative=False, scales=4):
    """Terms of one sample, by name. Views and predictions are lists of mappings of arrays without a batch axis."""
    z_true = size(views, "pts3d", views)
    z_pred = size(predictions, "pts3d", views)
    real = not views[0]["is_synthetic"]
    terms = dict.fromkeys(("world_points", "camera_points", "depth", "rays", "normals", "gradients", "mask"), 0.0)
    for view, prediction in zip(views, predictions, strict=True):
        pixels = [tuple(pixel) for pixel in np.argwhere(view["valid_mask"])]
        for term, key in [("world_points", "pts3d"), ("camera_points", "pts3d_cam"), ("depth", "depth_along_ray")]:
            errors = [rho(f(prediction[key][at] / z_pred) - f(view[key][at] / z_true)) for at in pixels]
            if term == "world_points" and confidence_weight is not None:
                confidences = [prediction["conf"][at] for at in pixels]
                errors = [c * e - confidence_weight * math.log(c) for c, e in zip(confidences, errors, strict=True)]
            elif real:
                errors = sorted(errors)[: len(errors) - int(len(errors) * percent / 100)]
            terms[term] += np.mean(errors) if errors else 0.0
        every = list(np.ndindex(view["valid_mask"].shape))
        differences = [prediction["ray_directions"][at] - view["ray_directions_cam"][at] for at in every]
        terms["rays"] += np.mean([rho(difference) for difference in differences])
        if not real:
            terms["normals"] += normals(view, prediction)
            terms["gradients"] += gradients(view, prediction, z_true, z_pred, scales)
        if not real or not all(each["non_ambiguous_mask"].all() for each in views):
            chances = 1 / (1 + np.exp(-prediction["non_ambiguous_mask_logits"].astype(float)))
            chosen = np.where(view["non_ambiguous_mask"], chances, 1 - chances)
            terms["mask"] += np.mean([-math.log(chosen[at]) for at in every])
    terms["rotation"], terms["translation"] = poses(views, predictions, z_true, z_pred, relative)
    any_valid = any(view["valid_mask"].any() for view in views)
    if not any_valid:
        terms["translation"] = 0.0
    metric = views[0]["is_metric_scale"] and any_valid
    terms["scale"] = rho(f(np.array([z_pred])) - f(np.array([z_true]))) if metric else 0.0
    return terms


def rho(error):
    return 3 * ((np.dot(error, error) / (1.5 * 0.05**2) + 1) ** 0.25 - 1)


def f(vector):
    length = math.sqrt(np.dot(vector, vector))
    return vector * 0 if length == 0 else vector / length * math.log(1 + length)


def size(side, key, views):
    lengths = [
        math.dist(each[key][tuple(at)], (0, 0, 0))
        for each, view in zip(side, views, strict=True)
        for at in np.argwhere(view["valid_mask"])
    ]
    return sum(lengths) / len(lengths) if lengths else 1.0


def normals(view, prediction):
    """Goes around each square, takes the two pixels beside each corner, and the angle by the arc cosine."""
    valid, errors = view["valid_mask"], []
    height, width = valid.shape
    around = [(0, 0), (0, 1), (1, 1), (1, 0)]
    for row, column in np.ndindex(height - 1, width - 1):
        square = [(row + y, column + x) for y, x in around]
        for corner in range(4):
            at, after, before = square[corner], square[(corner + 1) % 4], square[corner - 1]
            if valid[at] and valid[after] and valid[before]:
                a, b = (
                    np.cross(side[after] - side[at], side[before] - side[at])
                    for side in (view["pts3d_cam"].astype(float), prediction["pts3d_cam"].astype(float))
                )
                cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
                degrees = min(max(math.degrees(math.acos(min(cosine, 1.0))), 1), 90)
                errors.append(math.radians(degrees**2 / 6 if degrees < 3 else degrees - 1.5))
    return np.mean(errors) / max(height, width) if errors else 0.0


def gradients(view, prediction, z_true, z_pred, scales):
    true, predicted = view["pts3d_cam"][..., 2:] / z_true, prediction["pts3d_cam"][..., 2:] / z_pred
    total = 0.0
    for step in [1, 2, 4, 8][:scales]:
        rows, columns = range(0, true.shape[0], step), range(0, true.shape[1], step)
        known = [(row, column) for row in rows for column in columns if view["valid_mask"][row, column]]
        errors = {at: (f(predicted[at]) - f(true[at])).item() for at in known}
        neighbours = [(at, (at[0] + dy, at[1] + dx)) for at in known for dy, dx in ((0, step), (step, 0))]
        steps = [abs(errors[b] - errors[a]) for a, b in neighbours if b in errors]
        total += sum(steps) / len(known) if known else 0.0
    return total


def poses(views, predictions, z_true, z_pred, relative):
    """The squared distance of unit quaternions, signs chosen, is 2 - 2 cos(angle / 2) of the rotation between them."""
    true = [(rotation(each["camera_pose_quats"]), each["camera_pose_trans"] / z_true) for each in views]
    predicted = [(rotation(each["cam_quats"]), each["cam_trans"] / z_pred) for each in predictions]
    origin = (np.eye(3), np.zeros(3))
    total = np.zeros(2)
    for i in range(len(views)):
        frames = [(origin, origin, i)]
        if relative:
            frames += [(true[i], predicted[i], j) for j in range(len(views)) if j != i]
        errors = []
        for true_frame, predicted_frame, j in frames:
            (R, t), (S, u) = seen_from(true_frame, true[j]), seen_from(predicted_frame, predicted[j])
            angle = math.acos(min(max((np.trace(R.T @ S) - 1) / 2, -1.0), 1.0))
            errors.append((rho(np.array([math.sqrt(2 - 2 * math.cos(angle / 2))])), rho(t - u)))
        total += np.mean(errors, axis=0)
    return total


def seen_from(frame, pose):
    (R, t), (S, u) = frame, pose
    return R.T @ S, R.T @ (u - t)


def rotation(quaternion):
    """Columns are the turned axes: v + 2 w (q x v) + 2 q x (q x v)."""
    vector, w = np.asarray(quaternion[:3], float), float(quaternion[3])
    turned = [v + 2 * w * np.cross(vector, v) + 2 * np.cross(vector, np.cross(vector, v)) for v in np.eye(3)]
    return np.stack(turned, axis=1)
