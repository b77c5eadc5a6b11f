"""Generated episodes of DROID and what `tracks` makes of them, in this process or as a command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from mapanything_data.engine.executors.inline import InlineExecutor
from mapanything_data.labelers.contact_tracks import ContactTracksLabeler
from mapanything_data.sim.droid import GeneratedEpisode, write_episode, write_intrinsics_json, write_recordings
from mapanything_data.sources.droid_intrinsics import IntrinsicsOptions
from mapanything_data.sources.droid_stereo import DroidStereoSource
from mapanything_data.stages.tracks import TracksConfig, tracks
from mapanything_data.storage.droid import DroidDataset
from mapanything_data.storage.hub_options import HubOptions

STEPS, WIDTH, HEIGHT = 10, 160, 90
POINTS = 6
USER = "Roberta Imaginaria"


def draw_episodes(root: Path, count: int, *, steps: int = STEPS, recordings: bool = True) -> list[GeneratedEpisode]:
    """Short episodes, the second with videos that lack their last frame, and the intrinsics of all cameras."""
    episodes = []
    for seed in range(count):
        stamp = f"2023-08-12-16h-{seed:02d}m-07s"
        episode = write_episode(root, seed=seed, steps=steps, width=WIDTH, height=HEIGHT, timestamp=stamp)
        if recordings:
            write_recordings(episode, missing_frames=seed % 2)
        episodes.append(episode)
    book = {episode.files.uuid: _intrinsics_of(root / "one.json", episode) for episode in episodes}
    (root / "intrinsics.json").write_text(json.dumps(book))
    return episodes


def _intrinsics_of(path: Path, episode: GeneratedEpisode) -> dict:
    write_intrinsics_json(path, episode.cameras)
    values = json.loads(path.read_text())
    path.unlink()
    return values


def run_tracks(recordings: Path, root: Path, *, book: Path | None = None, executor=None, **options) -> int:
    """`tracks` in this process, with few points; options of the labeler are those that it has."""
    labeler = {name: options.pop(name) for name in list(options) if name in ContactTracksLabeler.__dataclass_fields__}
    return tracks(
        TracksConfig(
            machine={},
            dataset=DroidDataset(root=str(root), recordings=str(recordings)),
            source=options.pop("source", DroidStereoSource()),
            intrinsics=options.pop("intrinsics", IntrinsicsOptions(json=str(book or ""))),
            labeler=ContactTracksLabeler(**{"num_points_per_finger": POINTS, **labeler}),
            hub=options.pop("hub", HubOptions()),
            executor=executor or InlineExecutor(),
            scratch="",
            **options,
        )
    )


def command(recordings: Path, root: Path, *options: object) -> list[str]:
    """`tracks` as a command."""
    return [
        sys.executable, "-m", "mapanything_data.tracks", "machine=fixture", f"dataset.recordings={recordings}",
        f"dataset.root={root}", f"intrinsics.json={recordings / 'intrinsics.json'}",
        f"labeler.num_points_per_finger={POINTS}", *map(str, options),
    ]  # fmt: skip


def run_command(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True, env=env)


def contents(root: Path) -> dict[str, bytes]:
    """All files of the tree but records, timings and what a clock has a part in."""
    files = (path for path in root.rglob("*") if path.is_file() and ".mapanything" not in path.parts)
    return {
        str(path.relative_to(root)): path.read_bytes() for path in sorted(files) if path.name not in ("timings.csv",)
    }


def quality_of(root: Path, episode: GeneratedEpisode) -> dict:
    return json.loads((root / episode.files.output / "quality.json").read_text())
