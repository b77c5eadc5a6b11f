"""Whether the poses of one agent make sense: extrinsics, the rig, the mount of the LiDAR, motion.

A frame whose own poses are told to be wrong is doubtful: other checks leave it out, so that one defect is told once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from mapanything_data.checks.finding import Finding, Severity
from mapanything_data.checks.opv2v.telling import AgentFiles, Mark, measure, tell
from mapanything_data.geometry import invert
from mapanything_data.scene.arrays import Floats
from mapanything_data.storage.opv2v import Annotation
from mapanything_data.storage.opv2v.layout import FRAMES_PER_SECOND, YAML, camera_part

EXTRINSIC_M, EXTRINSIC_RAD = 1e-3, 1e-3
"""How far `extrinsic` may be from `cords` and `lidar_pose`. Sound files agree to 1e-13."""
RIG_M, RIG_RAD, RIG_PIXELS = 0.01, 0.005, 0.1
"""How far the cameras of an agent may move against its LiDAR, and their intrinsics vary."""
MOUNT_M, MOUNT_RAD = 0.05, 0.01
"""How far the LiDAR may move against the agent."""
RIGS_M, RIGS_RAD = 0.05, 0.02
"""How far the rigs of two vehicles may differ."""
JUMP_FACTOR, JUMP_MPS = 2.0, 10.0
"""An agent jumps when it moves faster than this many times its speed, and this much on top."""
STANDS_M, DRIVES_MPS = 1e-3, 2.0
"""An agent is frozen when it moves less than this while its speed is higher than that."""

_RESTORE = "restore the file from its archive, or leave the frame out"


@dataclass(slots=True)
class Rig:
    """What is usual for an agent, and in which frames it is otherwise.

    Attributes:
        intrinsics: Camera number to K, [3, 3] float64, pixels.
        T_camera_lidar: Camera number to the usual pose of the LiDAR in the camera, [4, 4] float64.
        doubtful: Frames whose poses or intrinsics were told to be wrong.
        findings: What is wrong.
    """

    intrinsics: dict[int, Floats] = field(default_factory=dict)
    T_camera_lidar: dict[int, Floats] = field(default_factory=dict)
    doubtful: set[int] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)

    def mark(
        self,
        files: AgentFiles,
        severity: Severity,
        check: str,
        marks: Mapping[int, Mark],
        remedy: str,
    ) -> None:
        """Tell of frames, which are doubtful from then on."""
        self.findings += tell(files, severity, check, YAML, marks, remedy=remedy)
        self.doubtful.update(marks)


def check_rig(files: AgentFiles, annotations: Mapping[int, Annotation]) -> Rig:
    """Everything about the poses of one agent."""
    rig = Rig()
    frames = sorted(annotations)
    if not frames:
        return rig
    _check_named_cameras(rig, files, annotations)
    _check_extrinsics(rig, files, annotations)
    _check_cameras(rig, files, annotations)
    T_world_lidar = np.array([annotations[frame].T_world_lidar.matrix for frame in frames])
    _check_motion(rig, files, annotations, T_world_lidar)
    _check_mount(rig, files, annotations)
    return rig


def check_rigs(item: str, rigs: Mapping[str, Rig]) -> Iterator[Finding]:
    """Whether the vehicles of a scenario carry the same rig; those with a wrong one were told already.

    Args:
        item: The scenario.
        rigs: By the names of the agents.
    """
    told = {name for name, rig in rigs.items() for finding in rig.findings if finding.check in ("extrinsic", "rig")}
    names = sorted(name for name, rig in rigs.items() if rig.T_camera_lidar and name not in told)
    for name in names[1:]:
        one, other = rigs[names[0]], rigs[name]
        cameras, worst = list[str](), np.zeros(3)
        for camera in sorted(one.T_camera_lidar.keys() & other.T_camera_lidar.keys()):
            metres, radians = deviation(one.T_camera_lidar[camera], other.T_camera_lidar[camera])
            pixels = float(np.abs(one.intrinsics[camera] - other.intrinsics[camera]).max())
            if metres > RIGS_M or radians > RIGS_RAD or pixels > 1:
                cameras.append(camera_part(camera))
                worst = np.maximum(worst, [float(metres), float(radians), pixels])
        if cameras:
            found = (
                f"{', '.join(cameras)} of {names[0]} and {name} differ by up to {measure(worst[0])} m,"
                f" {measure(worst[1])} rad, {worst[2]:.1f} pixels in the intrinsics"
            )
            remedy = "expect another view from it; check the calibration if the vehicles should be alike"
            yield Finding(Severity.warn, "rigs", item, found, remedy)


def deviation(T: Floats, other: Floats) -> tuple[Floats, Floats]:
    """Between transforms [..., 4, 4]: metres between the translations [...], radians between the rotations [...]."""
    metres: Floats = np.linalg.norm(T[..., :3, 3] - other[..., :3, 3], axis=-1)
    # The chord between two rotation matrices is sqrt(8) sin(angle / 2).
    chord = np.linalg.norm(T[..., :3, :3] - other[..., :3, :3], axis=(-2, -1))
    radians: Floats = 2 * np.arcsin(np.clip(chord / np.sqrt(8), 0, 1))
    return metres, radians


def _check_named_cameras(rig: Rig, files: AgentFiles, annotations: Mapping[int, Annotation]) -> None:
    """A picture without an entry in its YAML file cannot be placed."""
    marks = {}
    for frame, annotation in annotations.items():
        if unnamed := sorted(set(files.agent.cameras(frame)) - annotation.cameras.keys()):
            names = ", ".join(map(camera_part, unnamed))
            marks[frame] = Mark(f"names no {names}, of which there is a picture")
    rig.findings += tell(files, Severity.fail, "camera", YAML, marks, remedy=_RESTORE)


def _check_extrinsics(rig: Rig, files: AgentFiles, annotations: Mapping[int, Annotation]) -> None:
    marks = {}
    for frame, annotation in annotations.items():
        if not annotation.cameras:
            continue
        numbers = sorted(annotation.cameras)
        cameras = [annotation.cameras[number] for number in numbers]
        given = np.array([camera.T_camera_lidar.matrix for camera in cameras])
        computed = invert(np.array([camera.T_world_camera.matrix for camera in cameras]))
        computed = computed @ annotation.T_world_lidar.matrix
        metres, radians = deviation(given, computed)
        wrong = (metres > EXTRINSIC_M) | (radians > EXTRINSIC_RAD)
        if wrong.any():
            which = ", ".join(camera_part(number) for number, bad in zip(numbers, wrong, strict=True) if bad)
            found = (
                f"extrinsic of {which} is {measure(metres[wrong].max())} m and {measure(radians[wrong].max())} rad"
                f" from what cords and lidar_pose say (tolerance {EXTRINSIC_M:g} m, {EXTRINSIC_RAD:g} rad)"
            )
            metres_back, radians_back = deviation(invert(given[wrong]), computed[wrong])
            if (metres_back < EXTRINSIC_M).all() and (radians_back < EXTRINSIC_RAD).all():
                found += "; it is the inverse, camera to LiDAR"
            marks[frame] = Mark(found, float(metres.max() + radians.max()))
    remedy = "restore the file; extrinsic should be LiDAR to camera, inv(cords) @ lidar_pose"
    rig.mark(files, Severity.fail, "extrinsic", marks, remedy)


def _check_cameras(rig: Rig, files: AgentFiles, annotations: Mapping[int, Annotation]) -> None:
    """Cameras and their intrinsics stay as they are throughout a drive."""
    moved, zoomed = dict[int, Mark](), dict[int, Mark]()
    for number in sorted({number for annotation in annotations.values() for number in annotation.cameras}):
        frames = [frame for frame in sorted(annotations) if number in annotations[frame].cameras]
        sound = [frame for frame in frames if frame not in rig.doubtful] or frames
        cameras = [annotations[frame].cameras[number] for frame in sound]
        K = np.array([camera.intrinsics for camera in cameras])
        T = invert(np.array([camera.T_world_camera.matrix for camera in cameras])) @ np.array(
            [annotations[frame].T_world_lidar.matrix for frame in sound]
        )
        rig.intrinsics[number], rig.T_camera_lidar[number] = _usual(K), _usual(T)
        metres, radians = deviation(T, rig.T_camera_lidar[number])
        for place in np.flatnonzero((metres > RIG_M) | (radians > RIG_RAD)):
            found = f"camera{number} is {metres[place]:.3f} m, {radians[place]:.4f} rad from its usual place on the rig"
            moved[sound[place]] = Mark(found, float(metres[place] + radians[place]))
        pixels = np.abs(K - rig.intrinsics[number]).max(axis=(1, 2))
        for place in np.flatnonzero(pixels > RIG_PIXELS):
            found = f"intrinsic of camera{number} is {pixels[place]:.2f} pixels from the usual one"
            zoomed[sound[place]] = Mark(found, float(pixels[place]))
    rig.mark(files, Severity.fail, "rig", moved, "restore the file; cords should move with lidar_pose")
    rig.mark(files, Severity.fail, "intrinsics", zoomed, _RESTORE)


def _check_mount(rig: Rig, files: AgentFiles, annotations: Mapping[int, Annotation]) -> None:
    frames, poses = [], []
    for frame in sorted(annotations):
        T_world_agent = annotations[frame].T_world_agent
        if T_world_agent is not None and frame not in rig.doubtful:
            frames.append(frame)
            poses.append(T_world_agent.inverse().matrix @ annotations[frame].T_world_lidar.matrix)
    if not frames:
        return
    metres, radians = deviation(np.array(poses), _usual(np.array(poses)))
    marks = {
        frames[place]: Mark(
            f"the LiDAR is {metres[place]:.3f} m, {radians[place]:.4f} rad from its usual place on the agent",
            float(metres[place] + radians[place]),
        )
        for place in np.flatnonzero((metres > MOUNT_M) | (radians > MOUNT_RAD))
    }
    rig.mark(files, Severity.warn, "mount", marks, "compare true_ego_pos and lidar_pose; restore the file")


def _check_motion(rig: Rig, files: AgentFiles, annotations: Mapping[int, Annotation], T_world_lidar: Floats) -> None:
    """The speed that the poses tell, against the one that the file tells; generous, since both are sampled."""
    order = sorted(annotations)
    used = [place for place, frame in enumerate(order) if frame not in rig.doubtful]
    if len(used) < 2 or files.agent.is_roadside_unit:
        return
    frames = [order[place] for place in used]
    position = T_world_lidar[used, :3, 3]
    told = np.abs([annotations[frame].speed for frame in frames])
    metres = np.linalg.norm(np.diff(position, axis=0), axis=1)
    speed = metres / (np.diff(frames) / FRAMES_PER_SECOND)
    fastest, slowest = np.maximum(told[1:], told[:-1]), np.minimum(told[1:], told[:-1])
    jumps = np.flatnonzero(speed > JUMP_FACTOR * fastest + JUMP_MPS)
    marks = {}
    for at in map(int, jumps):
        if at - 1 in jumps:
            continue  # the way back from a frame that was told
        # Of a single jump at the very start, the first frame is the odd one.
        frame = frames[at] if at == 0 and 1 not in jumps and len(frames) > 2 else frames[at + 1]
        found = f"the agent moves {metres[at]:.2f} m at {speed[at]:.0f} m/s; its speed is {fastest[at]:.1f} m/s"
        marks[frame] = Mark(found, float(speed[at]))
    rig.mark(files, Severity.fail, "jump", marks, "leave the frame out, or split the drive there")
    stands = np.flatnonzero((metres < STANDS_M) & (slowest > DRIVES_MPS))
    frozen = {
        frames[at + 1]: Mark(f"the agent stands still at ego_speed {told[at + 1]:.1f} m/s", float(told[at + 1]))
        for at in stands
    }
    rig.mark(files, Severity.warn, "frozen", frozen, "leave these frames out")


def _usual(values: Floats) -> Floats:
    """The one among [F, ...] that is closest to the median of all; the first of two."""
    distance = np.abs(values - np.median(values, axis=0)).reshape(len(values), -1).sum(axis=1)
    usual: Floats = values[int(distance.argmin())]
    return usual
