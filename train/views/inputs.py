"""What a model is allowed to see: a list of views with these keys and no other.

Truth lies beside the images in every batch. So models never get the batch, only what `visible_views` copies out of it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from enum import Enum

import numpy as np
import torch

from mapanything_data.datasets.views import ViewDict
from mapanything_data.errors import ConfigError
from train.settings.geometric_inputs import GeometricInputs


class Input(str, Enum):
    """A kind of input."""

    images = "images"
    """the pictures, normalised"""
    agents = "agents"
    """which vehicle of the sample a view belongs to; says nothing of where it is"""
    rays = "rays"
    """ray directions, which say the intrinsics"""
    depth = "depth"
    """depth along the rays, 0 where it is not known"""
    poses = "poses"
    """poses of the cameras in the frame of view 0"""
    scale = "scale"
    """that depth and poses are in metres; without it a model may use their proportions only"""


KEYS: Mapping[Input, tuple[str, ...]] = {
    Input.images: ("img", "data_norm_type"),
    Input.agents: ("agent",),
    Input.rays: ("ray_directions_cam",),
    Input.depth: ("depth_along_ray",),
    Input.poses: ("camera_pose_quats", "camera_pose_trans"),
    Input.scale: ("is_metric_scale",),
}
"""The keys of a view (docs/datasets.md) that each kind shows."""

_THINNING = 0x5EED  # keeps the random numbers of `thin_depth` apart from those of `draw_inputs`


def named_inputs(key: str, names: Sequence[str]) -> frozenset[Input]:
    """The kinds of input that an option names.

    Args:
        key: The option, such as `train_params.eval_inputs`.
        names: Its value.

    Raises:
        ConfigError: One of them is not known, or images are not among them.
    """
    known = [kind.value for kind in Input]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            found = f"{name}: there is no such input" + (f"; did you mean {near[0]}?" if near else "")
            raise ConfigError(key, found, expected=f"of {', '.join(known)}", remedy=f"correct {key}")
    if Input.images.value not in names:
        found = f"[{', '.join(names)}]"
        raise ConfigError(key, found, expected="images, and what else a model may see", remedy=f"add images to {key}")
    return frozenset(map(Input, names))


def visible_views(batch: Sequence[ViewDict], inputs: Sequence[frozenset[Input]]) -> list[ViewDict]:
    """The views as a model may see them.

    Args:
        batch: V views of batched mappings.
        inputs: What each of the V views shows.

    Returns:
        New mappings with the keys of `KEYS` and no other; the tensors are those of the batch.
    """
    return [
        {key: view[key] for kind in Input if kind in kinds for key in KEYS[kind] if key in view}
        for view, kinds in zip(batch, inputs, strict=True)
    ]


def draw_inputs(options: GeometricInputs, num_views: int, seed: int, step: int) -> list[frozenset[Input]]:
    """What each view shows in a training step; agents always, which models use that have a place for them."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, step]))
    given = rng.random() < options.overall
    chances = {Input.rays: options.rays, Input.depth: options.depth, Input.poses: options.poses}
    kinds = [kind for kind, chance in chances.items() if rng.random() < chance and given]
    scale = {Input.scale} if rng.random() < options.scale and given else set()
    shown = rng.random((num_views, len(chances))) >= options.view_dropout
    return [
        frozenset({Input.images, Input.agents, *scale, *(kind for kind, has in zip(kinds, row) if has)})  # noqa: B905
        for row in shown
    ]


def thin_depth(
    options: GeometricInputs, views: list[ViewDict], batch: Sequence[ViewDict], seed: int, step: int
) -> None:
    """Replace the visible depth by a few pixels of it, by the chance that the options give.

    Which pixels remain depends on seed, step, sample and view alone, so it does not matter which rank has the sample.

    Args:
        options: The chance and the share.
        views: What `visible_views` returned; changed in place.
        batch: The views that they were taken from, whose `idx` names the samples.
        seed: Start of the random numbers.
        step: Number of the training step.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, step, _THINNING]))
    if rng.random() >= options.sparse_depth:
        return
    for number, (view, source) in enumerate(zip(views, batch, strict=True)):
        if "depth_along_ray" not in view:
            continue
        depth = view["depth_along_ray"]
        kept = torch.empty_like(depth, dtype=torch.bool)
        for row, index in zip(kept, source["idx"].tolist(), strict=True):
            pixels = np.random.default_rng(np.random.SeedSequence([seed, step, _THINNING, index, number]))
            row.copy_(torch.from_numpy(pixels.random(tuple(row.shape), np.float32) < options.sparse_depth_kept))
        view["depth_along_ray"] = depth * kept
