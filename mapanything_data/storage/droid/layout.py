"""Where DROID keeps what: recordings as the platform writes them, and the tree of what is made from them.

{recordings}/{lab}/{success|failure}/{date}/{folder}/metadata_{uuid}.json
                                                    /trajectory.h5
                                                    /recordings/SVO/{serial}.svo | .svo2
                                                    /recordings/MP4/{serial}.mp4 | {serial}-stereo.mp4

{root}/{lab}/{success|failure}/{date}/{timestamp}/tracks.npz  extrinsics.npz  quality.json
                                                 /recordings/{serial}/intrinsics.json
                                                                     /depth.mkv  depth_meta.json
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mapanything_data.config import component

TRACKS = "tracks.npz"
EXTRINSICS = "extrinsics.npz"
QUALITY = "quality.json"
"""Written last: an episode that has it is complete."""
INTRINSICS = "intrinsics.json"
DEPTH_VIDEO = "depth.mkv"
DEPTH_META = "depth_meta.json"
IMAGES = "images"


@component("dataset", "droid")
@dataclass(kw_only=True, slots=True)
class DroidDataset:
    """Episodes of DROID: what is made from its recordings, in a tree of its own."""

    root: str = "???"
    """Folder of what is made: tracks, camera data, quality, depth videos."""
    recordings: str = "???"
    """Folder of the recordings as DROID has them: {lab}/{success or failure}/{date}/{folder}."""

    @property
    def folder(self) -> Path:
        """`root` as a path."""
        return Path(self.root).expanduser().absolute()

    @property
    def recordings_folder(self) -> Path:
        """`recordings` as a path."""
        return Path(self.recordings).expanduser().absolute()


@dataclass(frozen=True, slots=True)
class CameraFiles:
    """What was recorded with one camera; None where there is no such file.

    Attributes:
        svo: Stereolabs' own format, version 1 or 2.
        mp4: The left picture.
        stereo_mp4: The left and the right picture side by side.
    """

    svo: Path | None = None
    mp4: Path | None = None
    stereo_mp4: Path | None = None


@dataclass(frozen=True, slots=True)
class EpisodeFiles:
    """One episode on the disk, found by its metadata file.

    Attributes:
        uuid: Such as AUTOLab+5d05c5aa+2023-08-12-16h-26m-07s; names the episode everywhere.
        lab: Such as AUTOLab.
        outcome: success or failure.
        date: The date's folder, which near midnight is not the date of the uuid.
        folder: Where it lies.
        metadata: Its metadata file.
    """

    uuid: str
    lab: str
    outcome: str
    date: str
    folder: Path
    metadata: Path

    @property
    def timestamp(self) -> str:
        """The last part of the uuid, such as 2023-08-12-16h-26m-07s."""
        return self.uuid.rpartition("+")[2]

    @property
    def trajectory(self) -> Path:
        """The file of the robot's and the cameras' poses."""
        return self.folder / "trajectory.h5"

    @property
    def output(self) -> Path:
        """The episode's folder in the tree of what is made, relative to its root."""
        return Path(self.lab, self.outcome, self.date, self.timestamp)

    def camera(self, serial: str) -> CameraFiles:
        """The recordings of a camera that are there."""
        svo, mp4 = self.folder / "recordings" / "SVO", self.folder / "recordings" / "MP4"
        return CameraFiles(
            svo=_first_file(svo / f"{serial}.svo", svo / f"{serial}.svo2"),
            mp4=_first_file(mp4 / f"{serial}.mp4"),
            stereo_mp4=_first_file(mp4 / f"{serial}-stereo.mp4"),
        )


def camera_folder(serial: str) -> Path:
    """Where an episode's folder in the tree of what is made keeps a camera's files, relative to it."""
    return Path("recordings", serial)


def image_name(step: int) -> str:
    """The file of a step's picture below a camera's images."""
    return f"{step:06d}.png"


def _first_file(*paths: Path) -> Path | None:
    return next((path for path in paths if path.is_file()), None)
