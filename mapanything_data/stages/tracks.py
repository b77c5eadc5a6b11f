"""The tracks stage: episodes of a robot become intrinsics, depth videos, contact tracks and a judgement of quality."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from mapanything_data.config.registry import component_name
from mapanything_data.engine import Report, RunOptions, Stats
from mapanything_data.engine.shard import stop_if_disk_refuses
from mapanything_data.errors import ConfigError, DataError, require, require_option
from mapanything_data.labelers.contact_tracks import ContactTracksLabeler
from mapanything_data.sources.episodes import EpisodeSource
from mapanything_data.stages.droid_episode import STEPS, EpisodeOptions, make_episode, missing_steps
from mapanything_data.stages.episode_frames import FrameOptions
from mapanything_data.stages.execute import absolute_path, execute, folder_of, require_choice
from mapanything_data.stages.track_tables import write_tables
from mapanything_data.stages.upload import require_repository, uploading
from mapanything_data.storage.droid import DroidDataset, EpisodeFiles
from mapanything_data.storage.droid.book import read_book
from mapanything_data.storage.droid.episodes import find_episodes
from mapanything_data.storage.droid.results import FORMAT, FORMAT_VERSION
from mapanything_data.storage.manifest import MANIFEST, begin_or_go_on, new_manifest
from mapanything_data.storage.provenance import plain


@dataclass(kw_only=True, slots=True)
class TracksConfig(RunOptions):
    """Configuration of the tracks app."""

    machine: Any = "???"
    """The machine profile."""
    dataset: Any = "???"
    """The recordings, and the tree of what is made from them."""
    source: Any = "???"
    """What reads the cameras' recordings: pictures, depth."""
    intrinsics: Any = "???"
    """Who is asked for the cameras' intrinsics, in which order."""
    labeler: Any = "???"
    """What is tracked, and how."""
    hub: Any = "???"
    """Where the step `upload` puts what is finished."""
    executor: Any = "???"
    """Where the work runs."""
    steps: list[str] = field(default_factory=lambda: ["intrinsics", "tracks"])
    """What is made: intrinsics, depth (videos), images (PNG files of every step), tracks, upload."""
    episode: str = ""
    """Uuid of one episode, or a pattern such as AUTOLab+*; empty takes all."""
    format: str = "full"
    """How tracks.npz is written: `full`, every array, or `compact`, from which `load_tracks` makes every array."""
    extrinsics: str = ""
    """JSON file of better poses of external cameras, as later calibrations of DROID are published: by uuid and serial,
    x, y, z in metres and extrinsic xyz Euler angles in radians; empty stands for none."""
    depth_scale_m: float = 0.001
    """Metres of one unit of a depth video; 0.001 stands for millimetres."""
    scratch: str = "${machine.scratch}"
    """Folder on a fast local disk, where depth videos are written before they are copied to their place."""
    again: bool = False
    """Make everything again, also what is finished."""


def tracks(config: TracksConfig) -> int:
    """Tracks: intrinsics, depth, contact tracks and quality of a robot's episodes.

    What one episode lacks, such as a camera's intrinsics, is recorded in its quality.json and leaves the rest whole. An
    episode that fails leaves the others alone; failed.csv names it and the reason, timings.csv the seconds of each
    step. A run that was interrupted goes on where it stopped when the same command is given again.

    Examples:
        python -m mapanything_data.tracks experiment=droid_metadata_only dataset.recordings=droid dataset.root=out
        python -m mapanything_data.tracks experiment=droid_full source=droid_stereo executor.workers=4
        python -m mapanything_data.tracks steps=[intrinsics] episode=AUTOLab+5d05c5aa+2023-08-12-16h-26m-07s
        python -m mapanything_data.tracks steps=[intrinsics,tracks,upload] hub.metadata_repo=me/droid-tracks
    """
    if "upload" in config.steps:
        require_repository(config.hub)
    work = TracksWork(
        options=_options(config),
        output=folder_of(config.dataset),
        recordings=absolute_path("dataset.recordings", config.dataset.recordings),
        pattern=config.episode,
    )
    with uploading(work.output, config.hub) if "upload" in config.steps else nullcontext() as upload:
        try:
            summary = execute(work, config.executor, config)
        except BaseException:
            with suppress(OSError):  # where the disk refuses, the error that stopped the run says so
                _write_tables(work)
            raise
        try:
            _write_tables(work)
        except OSError as failure:
            stop_if_disk_refuses(OSError(failure.errno, failure.strerror), work.output)
            raise
    return max(summary.exit_code, upload.exit_code if upload else 0)


def _write_tables(work: TracksWork) -> None:
    if (work.output / MANIFEST).exists():  # a refused run must not leave files that the next one refuses
        write_tables(work.output, work.name)


@dataclass(frozen=True, slots=True)
class TracksItem:
    """An episode, or what is wrong with one that cannot be begun."""

    key: str
    episode: EpisodeFiles | None
    broken: DataError | None = None


@dataclass(slots=True)
class TracksWork:
    """Makes what is wanted of every episode.

    Attributes:
        options: What is made, and how.
        output: Root of the tree of what is made.
        recordings: Root of the recordings.
        pattern: Which episodes, by uuid; empty takes all.
    """

    options: EpisodeOptions
    output: Path
    recordings: Path
    pattern: str = ""
    name: str = "tracks"

    def items(self) -> list[TracksItem]:
        """One item for each episode; writes the manifest.

        Raises:
            DataError: There is no such episode, or the output holds something else or what other options made.
        """
        if not self.recordings.is_dir():
            raise ConfigError(
                "dataset.recordings",
                f"{self.recordings} is no folder",
                expected="the folder that DROID was downloaded to",
                remedy="correct dataset.recordings, or machine.droid_root",
            )
        found = find_episodes(self.recordings)
        items = [TracksItem(episode.uuid, episode) for episode in found.episodes]
        items += [TracksItem(error.where, None, error) for error in found.broken]
        chosen = [item for item in items if not self.pattern or fnmatchcase(item.key, self.pattern)]
        if not chosen:
            raise _no_episode(self.recordings, self.pattern, [item.key for item in items])
        self._begin()
        return chosen

    def done(self, item: TracksItem) -> bool:
        """Whether the episode's quality.json says that all steps are done."""
        return item.episode is not None and not missing_steps(self.options, self.output / item.episode.output)

    def setup(self) -> None:
        """Make sure that what reads the recordings is there.

        Raises:
            MissingDependencyError: A package is not installed.
            DataError: The folder for scratch files is not there, or intrinsics that are named cannot be read.
        """
        require("h5py", "isal")
        self.options.intrinsics.setup()
        if self.options.extrinsics:
            read_book(Path(self.options.extrinsics).expanduser())
        if {"depth", "images"} & {*self.options.steps}:
            self.options.source.setup()
            scratch = self.options.frames.scratch
            if scratch and not Path(scratch).expanduser().is_dir():
                raise DataError(scratch, "is no folder", remedy="make it on this machine, or correct machine.scratch")

    def run(self, item: TracksItem, report: Report) -> Stats:
        """Make what the episode lacks.

        Raises:
            DataError: It cannot be made, wholly or in part; what could be made is there.
        """
        if item.episode is None:
            assert item.broken is not None  # one of the two is given
            raise item.broken
        return make_episode(self.options, item.episode, self.output / item.episode.output, report)

    def _begin(self) -> None:
        manifest = new_manifest(FORMAT, FORMAT_VERSION, self._settings())
        begin_or_go_on(self.output, manifest, holds_data=any(self.output.glob("[!.]*/*/*/*")))

    def _settings(self) -> dict[str, Any]:
        """What decides about the values of every episode alike; what differs is said in its own files."""
        labeler = {f"labeler.{name}": value for name, value in plain(self.options.labeler).items()}
        return {"labeler": component_name(self.options.labeler), **labeler, "format": self.options.format}


def _options(config: TracksConfig) -> EpisodeOptions:
    require_choice("dataset", config.dataset, DroidDataset)
    require_choice("source", config.source, EpisodeSource)
    require_choice("labeler", config.labeler, ContactTracksLabeler)
    unknown = [step for step in config.steps if step not in (*STEPS, "upload")]
    require_option("steps", config.steps, bool(config.steps) and not unknown, f"some of {', '.join(STEPS)}, upload")
    require_option("format", config.format, config.format in ("full", "compact"), "full or compact")
    require_option("depth_scale_m", config.depth_scale_m, 0 < config.depth_scale_m < 1, "metres above 0 and below 1")
    if "depth" in config.steps and not config.source.gives_depth:
        raise ConfigError(
            "steps",
            f"holds depth, but source={component_name(config.source)} gives none",
            expected="a source of depth",
            remedy="give source=droid_svo (Stereolabs' SDK) or source=droid_stereo, or leave depth out of the steps",
        )
    if "images" in config.steps and not config.source.gives_images:
        raise ConfigError(
            "steps",
            f"holds images, but source={component_name(config.source)} gives none",
            expected="a source of pictures",
            remedy="give source.images=true, or source=droid_mp4, or leave images out of the steps",
        )
    return EpisodeOptions(
        steps=tuple(step for step in STEPS if step in config.steps),  # in the order in which they need each other
        source=config.source,
        intrinsics=config.intrinsics,
        extrinsics=config.extrinsics,
        labeler=config.labeler,
        format="compact" if config.format == "compact" else "full",
        frames=FrameOptions(
            depth_scale=config.depth_scale_m, scratch=config.scratch, threads=config.executor.worker_cores()
        ),
        again=config.again,
    )


def _no_episode(recordings: Path, pattern: str, known: Sequence[str]) -> DataError:
    if not known:
        return DataError(
            recordings,
            "holds no episode (no metadata_*.json)",
            expected="{lab}/{success or failure}/{date}/{episode}/metadata_{uuid}.json",
            remedy="correct dataset.recordings",
        )
    near = difflib.get_close_matches(pattern, known, 3, 0.3)
    return DataError(
        recordings,
        f"none of {len(known)} episodes is called {pattern}",
        expected=f"a uuid such as {' or '.join(near or known[:1])}, or a pattern with *",
        remedy="correct episode=",
    )
