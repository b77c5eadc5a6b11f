"""Frames of OPV2V as snapshots: everything that one agent sensed and knew at one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mapanything_data.errors import DataError
from mapanything_data.scene import Camera, PointCloud, Pose, Snapshot, View
from mapanything_data.storage.atomic import write_atomic
from mapanything_data.storage.opv2v.annotation import (
    Annotation,
    CameraAnnotation,
    read_annotation,
    vehicles_from_boxes,
    write_annotation,
)
from mapanything_data.storage.opv2v.depth import read_depth, write_depth
from mapanything_data.storage.opv2v.layout import (
    FRAMES_PER_SECOND,
    PCD,
    YAML,
    FrameKey,
    camera_part,
    depth_file,
    sibling,
)
from mapanything_data.storage.pcd import pack_rgb, read_pcd, unpack_rgb, write_pcd
from mapanything_data.storage.png import decode_png, encode_png, read_png_size


def read_snapshot(
    root: Path,
    key: FrameKey,
    *,
    cameras: Sequence[int] | None = None,
    with_cloud: bool = True,
    depth_root: Path | None = None,
    depth_layout: str = "npy",
) -> Snapshot:
    """Everything about one frame of one agent.

    Args:
        root: The data set.
        key: The frame.
        cameras: Which to read; None reads all that the YAML file names.
        with_cloud: Whether to read the LiDAR sweep.
        depth_root: Where depth maps are; None leaves them out.
        depth_layout: How they are named.

    Raises:
        DataError: A file is missing or damaged, or picture and depth map differ in size.
    """
    annotation = read_annotation(root / key.file(YAML))
    views = {}
    for number in sorted(annotation.cameras) if cameras is None else cameras:
        seen = read_view(root, key, annotation.cameras, number, depth_root=depth_root, depth_layout=depth_layout)
        views[number] = View(
            image=seen.image,
            camera=seen.camera,
            timestamp=int(key.frame) / FRAMES_PER_SECOND,
            T_world_camera=seen.T_world_camera,
            depth=seen.depth,
        )
    vehicles = annotation.vehicles
    return Snapshot(
        agent=int(key.agent),
        frame=int(key.frame),
        timestamp=int(key.frame) / FRAMES_PER_SECOND,
        T_world_agent=annotation.T_world_agent or annotation.T_world_lidar,
        T_world_agent_estimate=annotation.T_world_agent_estimate,
        speed=annotation.speed,
        views=views,
        cloud=read_cloud(root / key.file(PCD), annotation.T_world_lidar) if with_cloud else None,
        boxes=vehicles.boxes(),
        box_speeds=dict(zip(vehicles.ids.tolist(), vehicles.speed.tolist(), strict=True)),
    )


class CameraView(NamedTuple):
    """What one camera saw in a frame."""

    camera: Camera
    """Intrinsics of the picture."""
    T_world_camera: Pose
    """Camera to world."""
    image: Any
    """[H, W, 3] uint8 RGB; None where it was not asked for."""
    depth: Any
    """[H, W] float32, z-depth in metres, 0 where there is none; None where it was not asked for."""


def read_view(
    root: Path,
    key: FrameKey,
    cameras: Mapping[int, CameraAnnotation],
    number: int,
    *,
    with_image: bool = True,
    depth_root: Path | None = None,
    depth_layout: str = "npy",
) -> CameraView:
    """What one camera saw in a frame.

    Args:
        root: The data set.
        key: The frame.
        cameras: Those of its YAML file, as `read_cameras` or `read_annotation` gives them.
        number: Which of them.
        with_image: Whether to read the picture; otherwise only the start of its file is, for its size.
        depth_root: Where depth maps are; None leaves them out.
        depth_layout: How they are named.

    Raises:
        DataError: The YAML file does not name the camera, a file cannot be read or is damaged, or picture and depth map
            differ in size.
    """
    if number not in cameras:
        raise DataError(
            root / key.file(YAML),
            f"names no {camera_part(number)}",
            expected=", ".join(map(camera_part, sorted(cameras))) or "cameras",
            remedy="restore the file, or leave the camera or the frame out",
        )
    picture = root / key.file(camera_part(number))
    image = read_image(picture) if with_image else None
    width, height = read_png_size(picture) if image is None else image.shape[1::-1]
    depth = None
    if depth_root is not None:
        depth = read_depth_of_size(depth_root / depth_file(key, number, depth_layout), width, height)
    return CameraView(cameras[number].camera(width, height), cameras[number].T_world_camera, image, depth)


def read_image(path: Path) -> NDArray[np.uint8]:
    """A picture, [H, W, 3] uint8 RGB.

    Raises:
        DataError: It cannot be read, is damaged or not in colour.
    """
    image = decode_png(path)
    if image.ndim != 3:
        raise DataError(path, f"is a grey picture of {image.dtype}", expected="RGB", remedy="restore the picture")
    return image


def read_depth_of_size(path: Path, width: int, height: int) -> NDArray[np.float32]:
    """The depth map of a picture of this size, [H, W] float32, metres.

    Raises:
        DataError: It is missing, damaged or of another size.
    """
    depth = read_depth(path)
    if depth.shape != (height, width):
        raise DataError(
            path,
            f"is {depth.shape[1]}x{depth.shape[0]}, but its picture is {width}x{height}",
            expected="the same size",
            remedy="make the depth again from these pictures",
        )
    return depth


def read_cloud(path: Path, T_world_lidar: Pose) -> PointCloud:
    """A LiDAR sweep. The files count on Unreal's axes; the points returned on OpenCV's.

    Points that are not finite are kept. Intensity is the red byte of `rgb` where that is a packed colour of 4 bytes;
    else `intensity`, of which integers of one byte count to 255, others and floats are taken as they are; else 0.

    Raises:
        DataError: The file cannot be read, is damaged, or lacks x, y or z or one of them has several values.
    """
    fields = read_pcd(path).fields
    if not all(axis in fields and fields[axis].ndim == 1 for axis in "xyz"):
        told = [name if values.ndim == 1 else f"{name} ({values.shape[1]} values)" for name, values in fields.items()]
        raise DataError(
            path,
            f"has the fields {', '.join(told)}",
            expected="x, y, z, one value each",
            remedy="restore the file from its archive",
        )
    with np.errstate(over="ignore"):  # what float32 cannot hold is no place either: infinite
        x, y, z = (fields[axis].astype(np.float32) for axis in "xyz")
        points = np.stack([y, -z, x], axis=-1)
        return PointCloud(points=points, intensity=_intensity(fields, len(points)), T_world_lidar=T_world_lidar)


def write_cloud(path: Path, cloud: PointCloud) -> None:
    """Write a LiDAR sweep as OPV2V has it: ASCII, `x y z rgb` with the intensity in red."""
    x, y, z = cloud.points[:, 2], cloud.points[:, 0], -cloud.points[:, 1]
    colours = np.zeros((len(x), 3), np.uint8)
    colours[:, 0] = np.rint(cloud.intensity * 255)
    write_pcd(path, {"x": x, "y": y, "z": z, "rgb": pack_rgb(colours)}, "ascii")


def _intensity(fields: Mapping[str, NDArray[Any]], points: int) -> NDArray[np.float32]:
    rgb, given = fields.get("rgb"), fields.get("intensity")
    intensity = np.zeros(points, np.float32)
    if rgb is not None and rgb.ndim == 1 and rgb.dtype.itemsize == 4:
        intensity = unpack_rgb(rgb)[:, 0] / np.float32(255)
    elif given is not None and given.ndim == 1:
        intensity = given.astype(np.float32) / np.float32(255 if given.dtype == np.uint8 else 1)
    return intensity


def annotation_of(snapshot: Snapshot) -> Annotation:
    """The content of a snapshot's YAML file.

    Raises:
        ValueError: The snapshot has no LiDAR sweep, or a view no pose.
    """
    if snapshot.cloud is None:
        raise ValueError("an OPV2V frame needs a LiDAR sweep")
    T_world_lidar = snapshot.cloud.T_world_lidar
    cameras = {}
    for number, view in snapshot.views.items():
        if view.T_world_camera is None:
            raise ValueError(f"view {number} has no pose")
        cameras[number] = CameraAnnotation(
            T_world_camera=view.T_world_camera,
            T_camera_lidar=view.T_world_camera.inverse() @ T_world_lidar,
            intrinsics=view.camera.matrix,
        )
    return Annotation(
        T_world_lidar=T_world_lidar,
        T_world_agent=snapshot.T_world_agent,
        T_world_agent_estimate=snapshot.T_world_agent_estimate,
        speed=snapshot.speed,
        cameras=cameras,
        vehicles=vehicles_from_boxes(list(snapshot.boxes), snapshot.box_speeds),
    )


def write_snapshot(root: Path, key: FrameKey, snapshot: Snapshot, *, depth_root: Path) -> None:
    """Write the files of one frame; the YAML file comes last, so a frame that has one is complete.

    Depth maps go to `depth_root`, classes of pixels to the folder beside the root whose name ends in _segmentation.

    Raises:
        ValueError: The snapshot has no LiDAR sweep, or a view no pose.
    """
    annotation = annotation_of(snapshot)
    (root / key.folder).mkdir(parents=True, exist_ok=True)
    for number, view in snapshot.views.items():
        write_atomic(root / key.file(camera_part(number)), encode_png(view.image))
        if view.depth is not None:
            path = depth_root / depth_file(key, number)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_depth(path, view.depth)
    for number, classes in snapshot.segmentation.items():
        path = sibling(root, "segmentation") / key.folder / f"{key.frame}_{camera_part(number)}_segmentation.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, encode_png(classes))
    assert snapshot.cloud is not None  # `annotation_of` refuses a snapshot without
    write_cloud(root / key.file(PCD), snapshot.cloud)
    write_annotation(root / key.file(YAML), annotation)
