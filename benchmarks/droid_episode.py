"""What an episode of DROID costs without depth: 226 steps, 960 points, 3 cameras, intrinsics from a JSON, all written.

The real trajectory is used where it lies in ../shared/data/droid, else one is generated. Seconds an episode are those
of one worker on one core once it is running; beside them stands what NumPy's own compression of the same arrays takes.
Then as many workers as there are cores.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from mapanything_data.engine.cores import allowed_cores
from mapanything_data.engine.executors.processes import ProcessesExecutor
from mapanything_data.engine.folder import journals_of_all_runs, records_folder
from mapanything_data.engine.journal import read_entries
from mapanything_data.labelers.contact_tracks import ContactTracksLabeler
from mapanything_data.sim.droid import write_episode
from mapanything_data.sources.droid_intrinsics import IntrinsicsOptions
from mapanything_data.sources.droid_mp4 import DroidMp4Source
from mapanything_data.stages.tracks import TracksConfig, tracks
from mapanything_data.storage.contact_tracks import load_tracks
from mapanything_data.storage.droid import DroidDataset, read_trajectory
from mapanything_data.storage.hub_options import HubOptions

DATA = Path(__file__).parents[1] / "../shared/data/droid"
EPISODES = {"compact": 120, "full": 30}
GOAL_S = {"compact": 0.15, "full": 0.4}


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        original = trajectory(folder)
        cores = allowed_cores()
        for form, count in EPISODES.items():
            raw = copies(original, folder / f"raw_{form}", count)
            one = seconds_an_episode(raw, folder / "made_1", form, workers=1)
            example = next((folder / "made_1").rglob("tracks.npz"))
            size = sum(path.stat().st_size for path in example.parent.rglob("*") if path.is_file())
            plain = numpy_seconds(example, folder / "plain.npz")
            print(
                f"{form:8} {one:6.3f} s an episode on one core (goal {GOAL_S[form]}), {size / 1000:8.1f} kB; "
                f"np.savez_compressed alone {plain:6.3f} s, {plain / one:5.1f} times as long"
            )
            many = seconds_an_episode(raw, folder / "made_n", form, workers=cores)
            print(f"{'':8} {many:6.3f} s with {cores} workers: {one / many:4.2f} times as fast (goal 1.8 with two)")
            for made in ("made_1", "made_n"):
                shutil.rmtree(folder / made)


def trajectory(folder: Path) -> Path:
    found = sorted(DATA.rglob("trajectory.h5"))
    if found:
        return found[0]
    return write_episode(folder / "drawn", steps=226, width=1280, height=720).files.trajectory


def copies(original: Path, raw: Path, count: int) -> Path:
    """A folder of episodes that share one trajectory file, and the intrinsics of its cameras."""
    for number in range(count):
        stamp = f"2023-08-12-{number // 60:02d}h-{number % 60:02d}m-00s"
        episode = raw / "LAB" / "success" / "2023-08-12" / stamp
        episode.mkdir(parents=True)
        uuid = f"LAB+abc+{stamp}"
        (episode / f"metadata_{uuid}.json").write_text(json.dumps({"uuid": uuid, "user": "nobody"}))
        (episode / "trajectory.h5").symlink_to(original.absolute())
    lens = {"fx": 523.0, "fy": 523.0, "cx": 639.5, "cy": 359.5, "width": 1280, "height": 720}
    book = dict.fromkeys(read_trajectory(original).cameras, lens)
    (raw / "intrinsics.json").write_text(json.dumps(book))
    return raw


def seconds_an_episode(raw: Path, root: Path, form: str, workers: int) -> float:
    """Seconds between two episodes that end, without the start of the processes."""
    config = TracksConfig(
        machine={},
        dataset=DroidDataset(root=str(root), recordings=str(raw)),
        source=DroidMp4Source(),
        intrinsics=IntrinsicsOptions(json=str(raw / "intrinsics.json"), providers=["h5", "json"]),
        labeler=ContactTracksLabeler(),
        hub=HubOptions(),
        executor=ProcessesExecutor(workers=workers),
        scratch="",
        format=form,
    )
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        assert tracks(config) == 0
    ended = sorted(entry.ended for entry in read_entries(journals_of_all_runs(records_folder(root, "tracks"))))
    first = workers  # the first items of each worker import what they need
    return (ended[-1] - ended[first]) / (len(ended) - 1 - first)


def numpy_seconds(example: Path, target: Path) -> float:
    arrays = load_tracks(example)
    clock = time.perf_counter()
    np.savez_compressed(target, **arrays)
    return time.perf_counter() - clock


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
