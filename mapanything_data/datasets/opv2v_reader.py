"""From the files of OPV2V to the views of a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mapanything_data.datasets.opv2v_options import ViewOptions
from mapanything_data.datasets.views import ViewDict, make_view
from mapanything_data.errors import DataError
from mapanything_data.geometry.resampling import cover
from mapanything_data.scene import Camera, Pose
from mapanything_data.storage.opv2v import (
    CameraAnnotation,
    FrameKey,
    depth_file,
    read_cameras,
    read_depth_of_size,
    read_image,
)
from mapanything_data.storage.opv2v.layout import YAML

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
        image, depth, camera, T_world_camera = _read_files(options, frames[frame], number, cameras[frame])
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


def _read_files(
    options: ViewOptions, key: FrameKey, number: int, cameras: Mapping[int, CameraAnnotation]
) -> tuple[NDArray[np.uint8], NDArray[np.float32], Camera, Pose]:
    """Picture, depth map, intrinsics and T_world_camera."""
    annotation_file = options.folder / key.file(YAML)
    if number not in cameras:
        found = f"names no camera{number}"
        raise DataError(annotation_file, found, remedy="restore the file, or leave the camera out")
    image = read_image(options.folder / key.file(f"camera{number}"))
    path = options.depth_folder / depth_file(key, number, options.depth_layout)
    depth = read_depth_of_size(path, width=image.shape[1], height=image.shape[0])
    camera = cameras[number].camera(image.shape[1], image.shape[0])
    return image, depth, camera, cameras[number].T_world_camera


def _provenance(frames: Frames, key: FrameKey, camera: int) -> dict[str, Any]:
    agents = list(dict.fromkeys(frame.agent for frame in frames))
    return {
        "dataset": "opv2v",
        "label": f"{key.split}/{key.scenario}",
        "instance": f"{key.agent}/{key.frame}/camera{camera}",
        "agent": agents.index(key.agent),
        "agent_id": int(key.agent),
        "is_metric_scale": True,
    }
