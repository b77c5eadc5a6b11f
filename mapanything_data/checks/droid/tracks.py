"""Whether the arrays of a tracks.npz agree with each other: time, rigid pads, the gripper's opening, frames, the way.

Nothing here calls what computed them. What follows from something wrong is not told again: the checks go from what is
given to what is derived, and end where something is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapanything_data.checks.droid.telling import Episode
from mapanything_data.checks.finding import Finding
from mapanything_data.scene.arrays import Floats
from mapanything_data.storage.droid.layout import TRACKS
from mapanything_data.storage.droid.results import number_at

Arrays = Mapping[str, NDArray[Any]]

POINT_TOLERANCE_MM = 0.01
"""Points are float32 metres, which is 0.0001 mm at 1 m; the smallest error that matters is a hundred times larger."""
ROTATION_TOLERANCE = 1e-6
WAY_TOLERANCE_MM = 1e-3
WIDTH_MM = 85.0
"""Between the pads of an open Robotiq 2F-85."""
_STEPS_AT_ONCE = 64


def check_tracks(episode: Episode, arrays: Arrays) -> list[Finding]:
    """What is wrong with the arrays; the first kind of it, when there are several."""
    for check in (_finite, _time, _poses, _rigid, _opening, _frames, _way, _samples):
        if found := list(check(arrays)):
            return [episode.fail(name, TRACKS, what, episode.remake("tracks")) for name, what in found]
    return []


def check_counts(episode: Episode, arrays: Arrays) -> Iterator[Finding]:
    """Whether the tracks are those that quality.json tells of."""
    frames, told = len(arrays["tracks_3d"]), episode.quality["num_frames"]
    if frames != told:
        yield episode.fail("count", TRACKS, f"has {frames} frames, but quality.json says {told}")
    fps, rate = float(arrays["fps"]), number_at(episode.quality, "fps")
    if rate is not None and abs(fps - rate) > 1e-6 * rate:
        yield episode.fail("count", TRACKS, f"has {fps:.6g} frames a second, but quality.json says {rate:.6g}")
    serials = sorted(map(str, arrays["cameras_with_2d_tracks"].tolist()))
    known = episode.quality.get("cameras_with_2d_tracks")
    if isinstance(known, list) and serials != sorted(map(str, known)):
        yield episode.fail("count", TRACKS, f"has pixels of the cameras {serials}, but quality.json says {known}")


def _finite(arrays: Arrays) -> Iterator[tuple[str, str]]:
    for name, array in arrays.items():
        # Pixels are NaN on purpose, and infinite where a point is beside the camera's plane.
        if array.dtype.kind == "f" and not name.startswith("tracks_2d_"):
            bad = int(array.size - np.count_nonzero(np.isfinite(array)))
            if bad:
                yield "finite", f"{name} has {bad} values that are NaN or infinite, of {array.size}"


def _time(arrays: Arrays) -> Iterator[tuple[str, str]]:
    gaps = np.diff(_floats(arrays, "frame_timestamps"))
    if not len(arrays["frame_timestamps"]):
        yield "time", "there are no frames"
    elif (gaps <= 0).any():
        step = int((gaps <= 0).argmax()) + 1
        yield "time", f"frame_timestamps go on by {gaps[step - 1]:.6f} s at frame {step}, expected more than 0"


def _poses(arrays: Arrays) -> Iterator[tuple[str, str]]:
    for name in ("flange_poses", "gripper_poses", "normalized_frames"):
        T = _floats(arrays, name)
        R = T[..., :3, :3]
        off = np.abs(R @ np.swapaxes(R, -1, -2) - np.eye(3)).max()
        if off > ROTATION_TOLERANCE or (np.linalg.det(R) < 0).any() or (T[..., 3, :] != [0, 0, 0, 1]).any():
            yield "poses", f"{name} are no rigid transforms (their rotations are off by {off:.2g})"
            return
    gripper = _floats(arrays, "flange_poses") @ _floats(arrays, "T_flange_gripper")
    off = 1000 * np.abs(gripper - _floats(arrays, "gripper_poses")).max()
    if off > POINT_TOLERANCE_MM:
        yield "poses", f"gripper_poses differ from the flange's poses times the mount by up to {off:.3g} mm"


def _rigid(arrays: Arrays) -> Iterator[tuple[str, str]]:
    """Seen from the first point of its pad, each point is where `pad_points` has it, turned as the gripper is."""
    local = _floats(arrays, "pad_points")
    shape = (local - local[:, :1]).astype(np.float32)
    for name, frames, what in (
        ("tracks_3d", "gripper_poses", "frame"),
        ("normalized_tracks_3d", "normalized_frames", "sample"),
    ):
        tracks, R_back = arrays[name], np.swapaxes(arrays[frames][:, :3, :3], -1, -2).astype(np.float32)
        for start in range(0, len(tracks), _STEPS_AT_ONCE):
            at = slice(start, start + _STEPS_AT_ONCE)
            pads = tracks[at].reshape(-1, 2, shape.shape[1], 3)
            off = np.abs(pads - pads[:, :, :1] - shape @ R_back[at, None]).max(axis=(2, 3))
            if off.max() * 1000 > POINT_TOLERANCE_MM:
                step, pad = map(int, np.unravel_index(off.argmax(), off.shape))
                side = ("left", "right")[pad]
                yield "rigid", f"the {side} pad of {name} is bent by {off.max() * 1000:.3g} mm at {what} {start + step}"
                break


def _opening(arrays: Arrays) -> Iterator[tuple[str, str]]:
    """Along the gripper's x, the left pad's face is half of the opening to the left, the right one's to the right."""
    half = WIDTH_MM / 2000 * (1 - _floats(arrays, "gripper_positions"))[:, None] * [1, -1]
    T = _floats(arrays, "gripper_poses")
    sides = np.einsum("tpi,ti->tp", _means(arrays, "tracks_3d", T) - T[:, None, :3, 3], T[:, :3, 0])
    off = np.abs(sides - half)
    if off.max() * 1000 <= POINT_TOLERANCE_MM:
        return
    if np.abs(sides[:, ::-1] - half).max() * 1000 <= POINT_TOLERANCE_MM:
        yield "gripper", "the right pad's points come before the left pad's in tracks_3d"
        return
    frame = int(off.max(axis=1).argmax())
    width, told = 1000 * (sides[frame, 0] - sides[frame, 1]), 2000 * half[frame, 0]
    yield "gripper", f"the pads are {width:.3f} mm apart at frame {frame}, but gripper_positions says {told:.3f} mm"


def _frames(arrays: Arrays) -> Iterator[tuple[str, str]]:
    """Origins are means of points, axes are the gripper's."""
    yield from _check_frames(
        arrays,
        "tracks_3d",
        "contact_centroids",
        ("contact_frames", "left_contact_frames", "right_contact_frames"),
        _floats(arrays, "gripper_poses"),
    )
    yield from _check_frames(
        arrays,
        "normalized_tracks_3d",
        "normalized_centroids",
        ("normalized_frames", "normalized_left_frames", "normalized_right_frames"),
        _floats(arrays, "normalized_frames"),
    )


def _check_frames(
    arrays: Arrays, tracks: str, centroids: str, frames: tuple[str, str, str], T_world_gripper: Floats
) -> Iterator[tuple[str, str]]:
    left, right = np.moveaxis(_means(arrays, tracks, T_world_gripper), 1, 0)
    for name, origin in zip(frames, ((left + right) / 2, left, right), strict=True):
        T = _floats(arrays, name)
        off = 1000 * np.abs(T[:, :3, 3] - origin).max()
        if off > POINT_TOLERANCE_MM:
            yield "frames", f"the origins of {name} are up to {off:.3g} mm away from the mean of their points"
        if np.abs(T[:, :3, :3] - T_world_gripper[:, :3, :3]).max() > ROTATION_TOLERANCE:
            yield "frames", f"the axes of {name} are not the gripper's"
    off = 1000 * np.abs(_floats(arrays, centroids) - (left + right) / 2).max()
    if off > POINT_TOLERANCE_MM:
        yield "frames", f"{centroids} are up to {off:.3g} mm away from the mean of {tracks}"


def _way(arrays: Arrays) -> Iterator[tuple[str, str]]:
    """The way adds up what the centroid moves in the steps that count."""
    distance, counts = _floats(arrays, "cumulative_distance_mm"), arrays["is_counted"]
    moved = 1000 * np.linalg.norm(np.diff(_floats(arrays, "contact_centroids"), axis=0), axis=1)
    expected = np.append(0.0, np.cumsum(np.where(counts[1:], moved, 0.0)))
    if (np.diff(distance) < 0).any():
        yield "way", f"cumulative_distance_mm goes back at frame {int((np.diff(distance) < 0).argmax()) + 1}"
    elif (off := np.abs(distance - expected).max()) > WAY_TOLERANCE_MM:
        found = f"cumulative_distance_mm is up to {off:.3g} mm away from what the centroid moves in the counted steps"
        yield "way", found


def _samples(arrays: Arrays) -> Iterator[tuple[str, str]]:
    """Samples lie at whole steps of the way and at its end, and each frame belongs to the nearest one."""
    distance, step = _floats(arrays, "cumulative_distance_mm"), float(arrays["normalized_step_size_mm"])
    last, count = float(arrays["normalized_last_step_mm"]), len(arrays["normalized_centroids"])
    if int(arrays["num_normalized_steps"]) != count:
        yield "samples", f"num_normalized_steps is {int(arrays['num_normalized_steps'])}, but there are {count} samples"
        return
    way = np.append(np.arange(count - 1) * step, (count - 2) * step + last)
    if count < 2 or abs(way[-1] - distance[-1]) > WAY_TOLERANCE_MM or not 0 <= last <= step + WAY_TOLERANCE_MM:
        yield (
            "samples",
            (
                f"{count} samples, {step:.6g} mm apart and the last two {last:.6g} mm, make {way[-1]:.6g} mm of"
                f" a way of {distance[-1]:.6g} mm"
            ),
        )
        return
    on_the_way = _on_the_way(distance, _floats(arrays, "contact_centroids"), way)
    off = 1000 * np.abs(on_the_way - _floats(arrays, "normalized_centroids")).max(axis=1)
    # Where the way stands still, as steps do not count, a sample may show any moment of the pause.
    paused = np.isin(np.searchsorted(distance, way - WAY_TOLERANCE_MM), np.flatnonzero(np.diff(distance) == 0))
    if (off := np.where(paused, 0.0, off)).max() > POINT_TOLERANCE_MM:
        place = int(off.argmax())
        yield "samples", f"sample {place} lies {off[place]:.3g} mm off the way at {way[place]:.6g} mm"
    index = arrays["frame_to_normalized_idx"].astype(np.int64)
    if (np.diff(index) < 0).any() or index.min() < 0 or index.max() >= count:
        yield "samples", f"frame_to_normalized_idx does not go on from 0 to {count - 1}"
    elif (away := np.abs(way[index] - distance).max()) > step / 2 + WAY_TOLERANCE_MM:
        yield "samples", f"frame_to_normalized_idx names samples that are {away:.3g} mm away on the way"


def _on_the_way(distance: Floats, centroids: Floats, way: Floats) -> Floats:
    """Where the centroid is after so much of the way, at the end of each pause."""
    after = np.searchsorted(distance, way, side="right").clip(1, len(distance) - 1)
    gap = distance[after] - distance[after - 1]
    share = np.divide(way - distance[after - 1], gap, out=np.ones(len(way)), where=gap > 0).clip(0, 1)
    start, end = centroids[after - 1], centroids[after]
    at: Floats = start + share[:, None] * (end - start)
    return at


def _floats(arrays: Arrays, name: str) -> Floats:
    return np.asarray(arrays[name], dtype=np.float64)


def _means(arrays: Arrays, tracks: str, T_world_gripper: Floats) -> Floats:
    """The mean of each pad's points, [T, 2, 3]: it follows from the first ones, since the pads are rigid."""
    local = _floats(arrays, "pad_points")
    first = arrays[tracks][:, :: local.shape[1]].astype(np.float64)
    means: Floats = first + (local.mean(axis=1) - local[:, 0]) @ np.swapaxes(T_world_gripper[:, :3, :3], -1, -2)
    return means
