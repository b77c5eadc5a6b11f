"""From the files of OPV2V to the views of a sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from mapanything_data.datasets.opv2v_options import ViewOptions
from mapanything_data.datasets.views import ViewDict, make_view
from mapanything_data.geometry.resampling import cover
from mapanything_data.scene import Pose
from mapanything_data.storage.opv2v import FrameKey, read_cameras, read_view
from mapanything_data.storage.opv2v.layout import YAML, camera_part

Frames: TypeAlias = "tuple[FrameKey, ...]"
"""Frames that a sample takes its views from, that of view 0 first."""


class Choice(NamedTuple):
    """A view of a sample."""

    frame: int
    """Which of the sample's frames."""
    camera: int
    """The camera's number."""


def read_views(
    options: ViewOptions,
    frames: Frames,
    choices: Sequence[Choice],
    resolution: Sequence[int],
    rng: np.random.Generator | None,
) -> list[ViewDict]:
    """The chosen views, the first of which gives the frame of all poses and points.

    Args:
        options: Says where files are and what becomes of them.
        frames: Of the sample.
        choices: Which views, in this order.
        resolution: Width and height, pixels.
        rng: For changes of colours and random crops; None makes neither.

    Raises:
        DataError: A file is missing, damaged, or not allowed to be read.
    """
    used = {choice.frame for choice in choices}
    cameras = {frame: read_cameras(options.folder / frames[frame].file(YAML)) for frame in used}
    colours = options.colour.draw(rng) if rng else None
    T_reference_world: Pose | None = None
    views: list[ViewDict] = []
    for frame, number in choices:
        camera, T_world_camera, image, depth = read_view(
            options.folder,
            frames[frame],
            cameras[frame],
            number,
            depth_root=options.depth_folder,
            depth_layout=options.depth_layout,
        )
        place = None
        if rng:
            colours = colours if options.colour.same_for_all_views else options.colour.draw(rng)
            place = (rng.random(), rng.random()) if options.random_crop else None
        resampling = cover(camera, resolution[0], resolution[1], place)
        image = resampling.image(image)
        if T_reference_world is None:
            T_reference_world, T_reference_camera = T_world_camera.inverse(), Pose.identity()
        else:  # in float64: far from the world's origin, float32 would lose millimetres
            T_reference_camera = T_reference_world @ T_world_camera
        view = make_view(
            colours.apply(image) if colours else image,
            resampling.dense_depth(depth) if options.depth_is_dense else resampling.sparse_depth(depth),
            resampling.camera,
            T_reference_camera,
            data_norm_type=options.data_norm_type,
            depth_is_dense=options.depth_is_dense,
        )
        views.append(view | {"is_synthetic": options.depth_is_dense} | _provenance(frames, frames[frame], number))
    return views


def _provenance(frames: Frames, key: FrameKey, camera: int) -> dict[str, Any]:
    agents = list(dict.fromkeys(frame.agent for frame in frames))
    return {
        "dataset": "opv2v",
        "label": f"{key.split}/{key.scenario}",
        "instance": f"{key.agent}/{key.frame}/{camera_part(camera)}",
        "agent": agents.index(key.agent),
        "agent_id": int(key.agent),
        "is_metric_scale": True,
    }
