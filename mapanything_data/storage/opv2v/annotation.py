"""The YAML file of a frame: poses, cameras, vehicles around.

Files count on Unreal's axes (x forward, y right, z up) in metres, degrees and km/h, with the principal point counted
from the corner of the first pixel. Here everything is in OpenCV's axes, metres, radians, m/s and integer pixel centres;
this module converts in both directions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapanything_data.errors import DataError
from mapanything_data.geometry.carla import (
    OPENCV_FROM_UE,
    carla_pose_from_matrix,
    matrix_from_carla_pose,
    opencv_from_ue,
    ue_from_opencv,
)
from mapanything_data.scene import Box3D, Camera, Pose
from mapanything_data.scene.arrays import Floats
from mapanything_data.storage.atomic import write_atomic
from mapanything_data.storage.opv2v.layout import LABEL, camera_of_part, camera_part
from mapanything_data.storage.plain_yaml import dump_plain_yaml, read_plain_yaml

_KMH = 1 / 3.6  # metres per second
_HALF_PIXEL = np.array([[0.0, 0.0, 0.5], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0]])


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CameraAnnotation:
    """Where a camera is and how it projects.

    Attributes:
        T_world_camera: Camera to world.
        T_camera_lidar: LiDAR to camera, as the file has it; equals inv(T_world_camera) @ T_world_lidar in sound files.
        intrinsics: K, [3, 3] float64, pixels, integer pixel centres, without skew.
    """

    T_world_camera: Pose
    T_camera_lidar: Pose
    intrinsics: Floats

    def camera(self, width: int, height: int) -> Camera:
        """The camera of a picture of this size."""
        return Camera.from_matrix(self.intrinsics, width, height)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Vehicles:
    """The vehicles around an agent, V of them, as arrays.

    Attributes:
        ids: [V] int64.
        T_world_vehicle: [V, 4, 4] float64, vehicle to world; the origin is CARLA's, on the road.
        T_world_box: [V, 4, 4] float64, box to world; the origin is the box's centre, the axes are the vehicle's.
        extent: [V, 3] float64, half sizes along the box's x (right), y (down), z (forward), metres. CARLA gives some
            two-wheelers none.
        speed: [V] float64, metres per second.
    """

    ids: NDArray[np.int64]
    T_world_vehicle: Floats
    T_world_box: Floats
    extent: Floats
    speed: Floats

    def __len__(self) -> int:
        return len(self.ids)

    def boxes(self) -> list[Box3D]:
        """The vehicles that have a size."""
        return [
            Box3D(T_world_box=Pose(T), extent=extent, label=LABEL, id=int(id_))
            for id_, T, extent in zip(self.ids, self.T_world_box, self.extent, strict=True)
            if (extent > 0).all()
        ]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Annotation:
    """What the YAML file of a frame says.

    Attributes:
        T_world_lidar: LiDAR to world.
        T_world_agent: Agent to world, the truth; None where the file has none (some roadside units).
        T_world_agent_estimate: What the agent's localisation believed, some centimetres off and level; never the truth.
        speed: Of the agent, metres per second, negative when it reverses.
        cameras: By number.
        vehicles: All others around; the agent itself is not among them.
    """

    T_world_lidar: Pose
    T_world_agent: Pose | None
    T_world_agent_estimate: Pose | None
    speed: float
    cameras: Mapping[int, CameraAnnotation]
    vehicles: Vehicles


def read_annotation(path: Path) -> Annotation:
    """Read a frame's YAML file.

    Raises:
        DataError: It is missing, is no plain YAML, or a key is missing or has no sensible value; names the key.
    """
    content = _Mapping(path, "", read_plain_yaml(path))
    return Annotation(
        T_world_lidar=content.carla_pose("lidar_pose"),
        T_world_agent=content.carla_pose("true_ego_pos") if "true_ego_pos" in content else None,
        T_world_agent_estimate=content.carla_pose("predicted_ego_pos") if "predicted_ego_pos" in content else None,
        speed=content.number("ego_speed") * _KMH if "ego_speed" in content else 0.0,
        cameras=_read_cameras(content),
        vehicles=_read_vehicles(content.mapping("vehicles")),
    )


def read_cameras(path: Path) -> dict[int, CameraAnnotation]:
    """Only the cameras of a frame's YAML file, in a tenth of the time: most of the file is about other vehicles.

    Raises:
        DataError: As of `read_annotation`.
    """
    return _read_cameras(_Mapping(path, "", read_plain_yaml(path, without=("plan_trajectory", "vehicles"))))


def write_annotation(path: Path, annotation: Annotation) -> None:
    """Write a frame's YAML file as OPV2V has it, with an empty plan."""
    poses = {
        "lidar_pose": annotation.T_world_lidar,
        "predicted_ego_pos": annotation.T_world_agent_estimate,
        "true_ego_pos": annotation.T_world_agent,
    }
    content = {
        **{camera_part(number): _camera_content(camera) for number, camera in sorted(annotation.cameras.items())},
        "ego_speed": annotation.speed / _KMH,
        "plan_trajectory": [],
        **{key: _carla_pose(pose) for key, pose in poses.items() if pose is not None},
        "vehicles": _vehicles_content(annotation.vehicles),
    }
    write_atomic(path, dump_plain_yaml(content))


def vehicles_from_boxes(boxes: list[Box3D], speeds: Mapping[int, float]) -> Vehicles:
    """Vehicles of boxes that stand on the road; each vehicle's origin is below the centre of its box."""
    extent = np.array([box.extent for box in boxes]).reshape(-1, 3)
    T_world_box = np.array([box.T_world_box.matrix for box in boxes]).reshape(-1, 4, 4)
    down = np.zeros((len(boxes), 3, 1))
    down[:, 1, 0] = extent[:, 1]
    T_world_vehicle = T_world_box.copy()
    T_world_vehicle[:, :3, 3:] += T_world_box[:, :3, :3] @ down
    return Vehicles(
        ids=np.array([box.id for box in boxes], np.int64),
        T_world_vehicle=T_world_vehicle,
        T_world_box=T_world_box,
        extent=extent,
        speed=np.array([speeds.get(box.id, 0.0) for box in boxes], np.float64),
    )


def _read_cameras(content: _Mapping) -> dict[int, CameraAnnotation]:
    numbers = {key: camera_of_part(key) for key in content if isinstance(key, str)}
    return {number: _read_camera(content.mapping(key)) for key, number in numbers.items() if number is not None}


def _read_camera(content: _Mapping) -> CameraAnnotation:
    intrinsics = content.numbers("intrinsic", (3, 3)) - _HALF_PIXEL
    try:
        Camera.from_matrix(intrinsics, 1, 1)  # of any size
    except ValueError as error:
        found = f"is {(intrinsics + _HALF_PIXEL).tolist()}: {error}"
        raise content.error("intrinsic", found, "positive focal lengths, no skew, 0 0 1 below") from None
    return CameraAnnotation(
        T_world_camera=content.carla_pose("cords"),
        T_camera_lidar=content.pose("extrinsic", opencv_from_ue(content.numbers("extrinsic", (4, 4)))),
        intrinsics=intrinsics,
    )


def _read_vehicles(content: _Mapping) -> Vehicles:
    """All poses are converted at once: one by one they would take longer than parsing the file."""
    ids = [content.integer_key(key) for key in content]
    entries = [content.mapping(key) for key in content]
    rows = np.array(
        [
            [
                *entry.numbers("location", (3,)),
                *entry.numbers("angle", (3,)),
                *entry.numbers("center", (3,)),
                *entry.numbers("extent", (3,)),
                entry.number("speed") if "speed" in entry else 0.0,
            ]
            for entry in entries
        ]
    ).reshape(-1, 13)
    T_world_vehicle = matrix_from_carla_pose(rows[:, :6])
    # In Unreal's axes x forward, y right, z up.
    centre = rows[:, 6:9] @ OPENCV_FROM_UE[:3, :3].T
    T_world_box = T_world_vehicle.copy()
    T_world_box[:, :3, 3] += (T_world_vehicle[:, :3, :3] @ centre[..., None])[..., 0]
    return Vehicles(
        ids=np.array(ids, np.int64),
        T_world_vehicle=T_world_vehicle,
        T_world_box=T_world_box,
        extent=rows[:, 9:12] @ np.abs(OPENCV_FROM_UE[:3, :3]).T,
        speed=rows[:, 12] * _KMH,
    )


def _camera_content(camera: CameraAnnotation) -> dict[str, Any]:
    return {
        "cords": _carla_pose(camera.T_world_camera),
        "extrinsic": ue_from_opencv(camera.T_camera_lidar.matrix).tolist(),
        "intrinsic": (camera.intrinsics + _HALF_PIXEL).tolist(),
    }


def _vehicles_content(vehicles: Vehicles) -> dict[int, dict[str, Any]]:
    poses = carla_pose_from_matrix(vehicles.T_world_vehicle)
    R_vehicle_world = np.swapaxes(vehicles.T_world_vehicle[:, :3, :3], 1, 2)
    offset = vehicles.T_world_box[:, :3, 3] - vehicles.T_world_vehicle[:, :3, 3]
    centres = (R_vehicle_world @ offset[..., None])[..., 0] @ OPENCV_FROM_UE[:3, :3]
    extents = vehicles.extent @ np.abs(OPENCV_FROM_UE[:3, :3])
    return {
        int(vehicles.ids[i]): {
            "angle": poses[i, 3:].tolist(),
            "center": centres[i].tolist(),
            "extent": extents[i].tolist(),
            "location": poses[i, :3].tolist(),
            "speed": float(vehicles.speed[i] / _KMH),
        }
        for i in range(len(vehicles))
    }


def _carla_pose(T_world_object: Pose) -> list[float]:
    pose: list[float] = carla_pose_from_matrix(T_world_object.matrix).tolist()
    return pose


class _Mapping:
    """A mapping of the file that says where it stands when something is wrong."""

    def __init__(self, path: Path, where: str, content: Any) -> None:
        self._path, self._where = path, where
        if not isinstance(content, dict):
            found = f"{where or 'the file'} is {type(content).__name__}"
            raise DataError(path, found, expected="keys with values", remedy=_RESTORE)
        self._content = content

    def __contains__(self, key: str) -> bool:
        return key in self._content

    def __iter__(self) -> Iterator[Any]:
        return iter(self._content)

    def integer_key(self, key: Any) -> int:
        try:
            number = int(str(key))
        except ValueError:
            number = _NO_ID
        if not -_NO_ID < number < _NO_ID:
            raise self.error(_shortened(key, str), "is no id", "an integer of 64 bits")
        return number

    def mapping(self, key: Any) -> _Mapping:
        return _Mapping(self._path, self._name(key), self._value(key))

    def number(self, key: str) -> float:
        return float(self.numbers(key, ()))

    def numbers(self, key: str, shape: tuple[int, ...]) -> Floats:
        value = self._value(key)
        try:
            numbers = np.array(value, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            numbers = np.empty(0)
        if numbers.shape != shape:
            expected = f"{' x '.join(map(str, shape))} numbers" if shape else "a number"
            raise self.error(key, f"is {_shortened(value)}", expected)
        if not (np.abs(numbers) <= _LARGEST).all():
            raise self.error(key, f"is {_shortened(value)}", f"finite numbers up to {_LARGEST:g}")
        return numbers

    def carla_pose(self, key: str) -> Pose:
        return self.pose(key, matrix_from_carla_pose(self.numbers(key, (6,))))

    def pose(self, key: str, matrix: Floats) -> Pose:
        try:
            return Pose(matrix)
        except ValueError as error:
            raise self.error(key, f"is no rigid transform ({error})", "a rotation and a translation") from None

    def error(self, key: str, found: str, expected: str) -> DataError:
        return DataError(self._path, f"{self._name(key)} {found}", expected=expected, remedy=_RESTORE)

    def _value(self, key: Any) -> Any:
        if key not in self._content:
            raise DataError(self._path, f"lacks {self._name(key)}", expected="an OPV2V frame", remedy=_RESTORE)
        return self._content[key]

    def _name(self, key: Any) -> str:
        return f"{self._where}.{key}" if self._where else str(key)


_RESTORE = "restore the file from its archive, or leave the frame out"
_NO_ID = 2**63
_LARGEST = 1e9
"""Of metres, degrees, km/h and pixels; products of a few of them stay far from the largest float."""


def _shortened(value: Any, text_of: Callable[[Any], str] = repr) -> str:
    try:
        text = text_of(value)
    except ValueError:  # an integer of more digits than Python writes out
        return "an integer of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}..."
