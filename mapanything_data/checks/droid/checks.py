"""The checks of one tree of DROID's episodes, episode by episode."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mapanything_data.checks.droid.cameras import check_calibration, check_intrinsics, read_all_intrinsics
from mapanything_data.checks.droid.depth import check_depth
from mapanything_data.checks.droid.files import check_missing, check_strays, check_unfinished
from mapanything_data.checks.droid.judgement import check_judgement
from mapanything_data.checks.droid.overview import check_root, overview
from mapanything_data.checks.droid.people import check_people, check_people_beside
from mapanything_data.checks.droid.pixels import check_pixels
from mapanything_data.checks.droid.telling import Episode
from mapanything_data.checks.droid.tracks import check_counts, check_tracks
from mapanything_data.checks.finding import Finding, Severity
from mapanything_data.checks.protocol import Progress
from mapanything_data.errors import DataError
from mapanything_data.storage.contact_tracks import load_tracks
from mapanything_data.storage.droid import CameraIntrinsics, DroidDataset, EpisodeFiles, find_episodes
from mapanything_data.storage.droid.extrinsics import read_extrinsics
from mapanything_data.storage.droid.layout import EXTRINSICS, QUALITY, TRACKS
from mapanything_data.storage.droid.results import ResultFiles, find_results, read_quality


@dataclass(frozen=True, slots=True)
class Tree:
    """What a root holds, and what it was made from.

    Attributes:
        results: Name to folder of each episode, in the order of the names.
        recordings: Uuid to recording; empty where the recordings are out of reach.
        broken: Recordings that are no episode.
        problem: Why the recordings are out of reach; empty where they are not.
    """

    results: Mapping[str, ResultFiles]
    recordings: Mapping[str, EpisodeFiles]
    broken: tuple[DataError, ...]
    problem: str


class Checks:
    """The checks of one tree. Names are listed once, when the first question is asked."""

    def __init__(self, dataset: DroidDataset) -> None:
        self._dataset = dataset
        self._listed: Tree | None = None

    def item_names(self) -> list[str]:
        """The episodes, such as `AUTOLab/success/2023-08-12/2023-08-12-16h-26m-07s`.

        Raises:
            DataError: The root holds no episode.
        """
        return list(self._tree().results)

    def files(self, item: str) -> Iterator[Path]:
        """Everything in the episode's folder, and the recording's metadata and videos."""
        results = self._tree().results[item]
        yield from (path for path in results.folder.rglob("*") if path.is_file())
        try:
            recording = self._recording(read_quality(results.quality)["episode"]["uuid"])
        except DataError:
            return
        if recording:
            yield recording.metadata
            for serial in results.serials():
                videos = recording.camera(serial)
                yield from (path for path in (videos.mp4, videos.stereo_mp4) if path)

    def check_item(self, item: str, progress: Progress) -> list[Finding]:
        """What is wrong with one episode: files, cameras, tracks, depth, quality, people."""
        files = self._tree().results[item]
        if not files.quality.exists():
            return [check_unfinished(files)]
        try:
            quality = read_quality(files.quality)
        except DataError as error:
            found = f"{error.found}" + (f", expected {error.expected}" if error.expected else "")
            remedy = "run the same tracks command again: it makes what it cannot read anew"
            return [Finding(Severity.fail, "quality", f"{item}/{QUALITY}", found, remedy)]
        episode = Episode(files, quality, self._recording(quality["episode"]["uuid"]))
        intrinsics, findings = read_all_intrinsics(episode)
        findings += check_missing(episode)
        findings += check_strays(episode)
        findings += check_intrinsics(episode, intrinsics)
        findings += check_calibration(episode)
        progress(0.1)
        findings += _check_tracks(episode, intrinsics)
        progress(0.7)
        findings += check_depth(episode, intrinsics)
        findings += check_judgement(episode)
        findings += check_people(episode)
        return findings

    def check_whole(self) -> list[Finding]:
        """Recordings of which nothing was made, names of people beside the episodes, manifest.json."""
        tree = self._tree()
        findings = list(check_root(self._dataset, tree.results, tree.recordings, tree.broken))
        return [*findings, *check_people_beside(self._dataset.folder, tree.recordings)]

    def describe(self) -> str:
        """Labs and outcomes with their episodes, tracks and depth videos as a table."""
        tree = self._tree()
        return overview(tree.results, tree.recordings, tree.problem)

    def _tree(self) -> Tree:
        if self._listed is None:
            results = {files.name: files for files in find_results(self._dataset.folder)}
            self._listed = _with_recordings(results, self._dataset)
        return self._listed

    def _recording(self, uuid: str) -> EpisodeFiles | None:
        return self._tree().recordings.get(uuid)


def _with_recordings(results: Mapping[str, ResultFiles], dataset: DroidDataset) -> Tree:
    """An empty option, or a folder that is not there, stands for a tree without its recordings."""
    if not dataset.recordings:
        return Tree(results, {}, (), "dataset.recordings is empty")
    try:
        found = find_episodes(dataset.recordings_folder)
    except DataError as error:
        return Tree(results, {}, (), f"{error.where} {error.found}")
    return Tree(results, {episode.uuid: episode for episode in found.episodes}, tuple(found.broken), "")


def _check_tracks(episode: Episode, intrinsics: Mapping[str, CameraIntrinsics]) -> Iterator[Finding]:
    """tracks.npz by itself, then with extrinsics.npz and the cameras' intrinsics.json."""
    if not episode.files.tracks.is_file():
        return
    try:
        arrays = load_tracks(episode.files.tracks)
    except DataError as error:
        yield episode.unreadable("tracks", TRACKS, error)
        return
    wrong = [*check_tracks(episode, arrays), *check_counts(episode, arrays)]
    yield from wrong
    if not episode.files.extrinsics.is_file():
        return
    try:
        extrinsics = read_extrinsics(episode.files.extrinsics)
    except DataError as error:
        yield episode.unreadable("extrinsics", EXTRINSICS, error)
        return
    if not wrong:
        yield from check_pixels(episode, arrays, extrinsics, intrinsics)
