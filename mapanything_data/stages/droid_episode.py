"""What is made of one episode: intrinsics, depth videos, contact tracks, and the judgement of its quality."""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mapanything_data.engine import Report, Stats
from mapanything_data.errors import DataError, UserError
from mapanything_data.geometry.contact_tracks import occluded_by_depth
from mapanything_data.geometry.normalised_flow import cumulative_distance_mm
from mapanything_data.labelers.contact_tracks import ContactTracksLabeler
from mapanything_data.labelers.episode_quality import (
    coverage_quality,
    motion_quality,
    recorded_baseline,
)
from mapanything_data.scene import ContactMotion
from mapanything_data.sources.droid_intrinsics import IntrinsicsOptions, find_intrinsics
from mapanything_data.sources.episodes import EpisodeSource
from mapanything_data.stages.episode_frames import FrameOptions, describe_depth, write_frames
from mapanything_data.stages.episode_record import judge, read_record, write_record
from mapanything_data.storage.atomic import remove_unfinished
from mapanything_data.storage.contact_tracks import write_tracks
from mapanything_data.storage.depth_video import DepthVideoReader
from mapanything_data.storage.droid import (
    CameraIntrinsics,
    EpisodeFiles,
    MissingIntrinsics,
    Trajectory,
    read_intrinsics,
    write_intrinsics,
)
from mapanything_data.storage.droid.clock import CaptureClock, aligned, capture_clock, frame_rate
from mapanything_data.storage.droid.episodes import read_metadata
from mapanything_data.storage.droid.extrinsics import CameraExtrinsics, write_extrinsics
from mapanything_data.storage.droid.extrinsics_book import with_better_pose
from mapanything_data.storage.droid.layout import (
    DEPTH_VIDEO,
    EXTRINSICS,
    IMAGES,
    INTRINSICS,
    QUALITY,
    TRACKS,
    camera_folder,
)
from mapanything_data.storage.droid.results import QUALITY_VERSION
from mapanything_data.storage.droid.trajectory import read_trajectory
from mapanything_data.storage.provenance import plain

STEPS = ("intrinsics", "depth", "images", "tracks")
"""In the order in which they need each other."""


@dataclass(frozen=True, slots=True)
class EpisodeOptions:
    """What is made of every episode.

    Attributes:
        steps: Some of `STEPS`, in their order.
        source: What reads the cameras' recordings.
        intrinsics: Who is asked for intrinsics.
        extrinsics: File of better poses of external cameras; empty for none.
        labeler: The tracks.
        format: Of tracks.npz, full or compact.
        frames: How depth and pictures are written.
        again: Whether to make what is finished, too.
    """

    steps: tuple[str, ...]
    source: EpisodeSource
    intrinsics: IntrinsicsOptions
    extrinsics: str
    labeler: ContactTracksLabeler
    format: Literal["full", "compact"]
    frames: FrameOptions
    again: bool


def missing_steps(options: EpisodeOptions, folder: Path) -> list[str]:
    """The steps that an episode lacks, which the quality.json in its folder tells."""
    if options.again:
        return list(options.steps)
    finished = read_record(folder).get("steps", ())
    missing = {step for step in options.steps if step not in finished}
    missing |= _outdated_by(options, missing).intersection(options.steps)
    return [step for step in STEPS if step in missing]


def make_episode(options: EpisodeOptions, episode: EpisodeFiles, folder: Path, report: Report) -> Stats:
    """Make what an episode lacks; quality.json, written last, says what is done.

    Args:
        options: What is made.
        episode: Where it was recorded.
        folder: Its folder in the tree of what is made.
        report: Told how far the episode is.

    Returns:
        Frames, cameras, those with 2D tracks, and the seconds of every step.

    Raises:
        DataError: The episode cannot be read, or the depth of a camera cannot be made; the rest is there.
    """
    seconds: dict[str, float] = {}
    with _timed("read", seconds):
        making = _begin(options, episode, folder, report)
    steps = missing_steps(options, folder)
    frames = [step for step in ("depth", "images") if step in steps]
    if "intrinsics" in steps:
        with _timed("intrinsics", seconds):
            _make_intrinsics(making)
    if frames:
        with _timed("frames", seconds):
            _make_frames(making, frames)
    if "tracks" in steps:
        with _timed("tracks", seconds):
            _make_tracks(making)
    with _timed("quality", seconds):
        making.quality["steps"] = _finished(making, steps)
        if "tracks" not in making.quality["steps"]:
            _forget_tracks(making)
        judge(making.quality, making.trajectory, making.clock, making.known_intrinsics(), options.labeler.moments)
        write_record(folder, making.quality)
    if making.failures:
        raise DataError(
            episode.folder,
            "; ".join(
                f"camera {serial}: {_within_episode(error, episode)}" for serial, error in making.failures.items()
            ),
            expected="a recording of every camera that can be read",
            remedy=f"{next(iter(making.failures.values())).remedy}; then use retry=failed. Everything else is done",
        )
    counts = {"frames": len(making.trajectory), "cameras": len(making.trajectory.cameras)}
    if "tracks" in making.quality["steps"]:
        counts["cameras_with_2d_tracks"] = len(making.quality["cameras_with_2d_tracks"])
    return {**counts, **seconds}


@dataclass(slots=True)
class _Making:
    """An episode that is being made.

    Attributes:
        quality: What quality.json will say; steps add what they find.
        failures: Serial to why a camera's frames could not be made.
    """

    options: EpisodeOptions
    episode: EpisodeFiles
    folder: Path
    report: Report
    trajectory: Trajectory
    clock: CaptureClock
    quality: dict[str, Any]
    failures: dict[str, UserError] = field(default_factory=dict)

    def camera_file(self, serial: str, name: str) -> Path:
        return self.folder / camera_folder(serial) / name

    def depth_video(self, serial: str) -> Path:
        return self.camera_file(serial, DEPTH_VIDEO)

    def known_intrinsics(self) -> dict[str, CameraIntrinsics]:
        known = {}
        for serial in self.trajectory.cameras:
            path = self.camera_file(serial, INTRINSICS)
            # A file that somebody took away, such as an upload that was to delete it, is told by its reader.
            if path.exists() or (self.quality["cameras"][serial].get("intrinsics") or {}).get("provider"):
                known[serial] = read_intrinsics(path)
        return known


def _begin(options: EpisodeOptions, episode: EpisodeFiles, folder: Path, report: Report) -> _Making:
    trajectory = read_trajectory(episode.trajectory)
    if options.extrinsics:
        book, cameras = Path(options.extrinsics).expanduser(), trajectory.cameras
        better = {serial: with_better_pose(book, episode.uuid, camera) for serial, camera in cameras.items()}
        trajectory = replace(trajectory, cameras=better)
    clock = capture_clock(trajectory)
    metadata = read_metadata(episode)
    folder.mkdir(parents=True, exist_ok=True)
    remove_unfinished(folder)
    known = read_record(folder)
    finished = list(known.get("steps", ()))
    if options.again:  # nothing may vouch for files that are about to be replaced, nor be taken for them
        (folder / QUALITY).unlink(missing_ok=True)
        for serial in trajectory.cameras:
            _forget_frames(folder / camera_folder(serial), options.steps)
        finished = [step for step in finished if step not in options.steps]
    quality = {
        "version": QUALITY_VERSION,
        "steps": finished,
        "episode": {
            "uuid": episode.uuid,
            "lab": episode.lab,
            "outcome": episode.outcome,
            "date": episode.date,
            "metadata": metadata,
        },
        "num_frames": len(trajectory),
        "fps": frame_rate(trajectory),
        "remarks": [*trajectory.remarks, *clock.remarks],
        "stale_serials": list(trajectory.stale_serials),
        "cameras": {
            serial: {
                **known.get("cameras", {}).get(serial, {}),
                "kind": camera.kind,
                "pose_source": camera.pose_source,
                "problem": camera.problem or None,
            }
            for serial, camera in trajectory.cameras.items()
        },
        "motion": known.get("motion"),
    }
    return _Making(options, episode, folder, report, trajectory, clock, quality)


def _forget_frames(folder: Path, steps: Collection[str]) -> None:
    if "depth" in steps:
        (folder / DEPTH_VIDEO).unlink(missing_ok=True)
    if "images" in steps:
        shutil.rmtree(folder / IMAGES, ignore_errors=True)


def _make_intrinsics(making: _Making) -> None:
    for serial, camera in making.trajectory.cameras.items():
        found = find_intrinsics(making.options.intrinsics, making.episode, camera)
        path = making.camera_file(serial, INTRINSICS)
        if isinstance(found, MissingIntrinsics):
            path.unlink(missing_ok=True)
            told: dict[str, Any] = {"provider": None, "tried": dict(found.tried)}
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            remove_unfinished(path.parent)
            write_intrinsics(path, found)
            told = {"provider": found.provider, "model": found.model, "approximate": found.is_approximate}
        making.quality["cameras"][serial]["intrinsics"] = told


def _make_frames(making: _Making, wanted: Collection[str]) -> None:
    """Depth videos and pictures, which come out of one pass over each recording."""
    known = making.known_intrinsics()
    serials = list(making.trajectory.cameras)
    for number, serial in enumerate(serials):
        told = making.quality["cameras"][serial]
        missing = list(wanted)
        if "depth" in wanted and (known_depth := describe_depth(making.depth_video(serial), len(making.trajectory))):
            told["depth"] = known_depth
            missing.remove("depth")
        try:
            if missing:
                told |= _write_frames(making, serial, known.get(serial), missing, number / len(serials))
        except UserError as error:
            told |= {step: {"failed": _within_episode(error, making.episode)} for step in missing}
            making.failures[serial] = error


def _within_episode(error: UserError, episode: EpisodeFiles) -> str:
    """What was found where, without the folders of this machine, which are nobody else's business."""
    return f"{error.where}: {error.found}".removeprefix(f"{episode.folder}: ").replace(f"{episode.folder}/", "")


def _write_frames(
    making: _Making, serial: str, intrinsics: CameraIntrinsics | None, wanted: Collection[str], before: float
) -> dict[str, Any]:
    """Write the frames of one camera; `before` is the share of the step that is done already."""
    options, trajectory = making.options, making.trajectory
    camera = trajectory.cameras[serial]
    if intrinsics and intrinsics.baseline is None and (baseline := recorded_baseline(camera)):
        # The name goes into the depth's method, so that nobody takes this baseline for the provider's.
        told_by = f"{intrinsics.provider} with the baseline of trajectory.h5"
        intrinsics = replace(intrinsics, baseline=baseline, provider=told_by)
    times = camera.capture_times if serial in making.clock.serials else making.clock.times
    assert times is not None  # cameras of the clock have times
    folder = making.folder / camera_folder(serial)
    folder.mkdir(parents=True, exist_ok=True)
    with options.source.open_recording(making.episode, serial, intrinsics) as recording:
        return write_frames(
            recording,
            folder,
            wanted,
            times=times,
            fps=making.quality["fps"],
            options=options.frames,
            report=lambda share: making.report(before + share / len(trajectory.cameras)),
        )


def _make_tracks(making: _Making) -> None:
    labeler, trajectory = making.options.labeler, making.trajectory
    states = aligned(trajectory, labeler.moments, making.clock)
    motion = labeler.motion(trajectory, states, making.known_intrinsics())
    occluded = {
        serial: hidden for serial in motion.cameras if (hidden := _occluded(making, motion, serial)) is not None
    }
    write_tracks(
        making.folder / TRACKS,
        motion,
        format=making.options.format,
        occluded=occluded,
        settings=plain(labeler),
    )
    write_extrinsics(
        making.folder / EXTRINSICS,
        timestamps=states.timestamps,
        T_world_flange=states.T_world_flange,
        cameras=_extrinsics(trajectory),
    )
    for serial, camera in making.quality["cameras"].items():
        hidden = occluded.get(serial)
        camera["tracks_2d"] = coverage_quality(motion, serial, hidden) if serial in motion.cameras else None
    length = float(cumulative_distance_mm(motion)[-1])
    making.quality["motion"] = motion_quality(trajectory, motion, length)


def _occluded(making: _Making, motion: ContactMotion, serial: str) -> NDArray[np.bool_] | None:
    """Which points a camera's depth hides; None where that is not asked for or there is no depth."""
    tolerance, video = making.options.labeler.occlusion_m, making.depth_video(serial)
    if not tolerance or not video.exists():
        return None
    with DepthVideoReader(video) as reader:
        mounted = motion.cameras[serial]
        if reader.meta.camera:  # depth is measured in rectified pictures, whatever the tracks are drawn in
            mounted = replace(mounted, camera=reader.meta.camera)
        seen = replace(motion, cameras={serial: mounted})
        return occluded_by_depth(seen, serial, zip(range(len(motion)), reader, strict=False), tolerance)


def _extrinsics(trajectory: Trajectory) -> dict[str, CameraExtrinsics]:
    """How the cameras are fixed, of those whose poses can be used."""
    fixed = {}
    for serial, camera in trajectory.cameras.items():
        if camera.problem:
            continue
        left = camera.T_parent_camera
        assert left is not None  # a camera without a pose has a problem
        fixed[serial] = CameraExtrinsics(camera.kind, left, camera.T_parent_right, camera.pose_source)
    return fixed


def _finished(making: _Making, made: Sequence[str]) -> list[str]:
    """The steps that are done, now or before, and still of use."""
    finished = {*making.quality["steps"]} - _outdated_by(making.options, made) | {*made}
    if making.failures:
        finished -= {"depth", "images"} & {*made}
    return [step for step in STEPS if step in finished]


def _forget_tracks(making: _Making) -> None:
    """Tracks of other intrinsics would pass for those of the new ones."""
    (making.folder / TRACKS).unlink(missing_ok=True)
    making.quality["motion"] = None
    for told in making.quality["cameras"].values():
        told.pop("tracks_2d", None)


def _outdated_by(options: EpisodeOptions, made: Collection[str]) -> set[str]:
    """The steps that are of no use where others were made after them."""
    needs = {"intrinsics", "depth"} if options.labeler.occlusion_m > 0 else {"intrinsics"}
    return set() if needs.isdisjoint(made) else {"tracks"}


@contextmanager
def _timed(step: str, seconds: dict[str, float]) -> Iterator[None]:
    clock = time.perf_counter()
    yield
    seconds[f"{step}_s"] = time.perf_counter() - clock
