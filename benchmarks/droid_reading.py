"""How fast episodes of DROID are found and read: 20,000 metadata files, and a trajectory of 226 steps.

The file is written as the real ones are, one row a chunk; the time is compared with reading the same arrays through
h5py's default driver.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py

from mapanything_data.sim.droid import write_episode
from mapanything_data.storage.droid import aligned, find_episodes, read_trajectory

EPISODES = 20_000
STEPS = 226
REPEATS = 15


def seconds(work: Callable[[], object], repeats: int) -> float:
    """The fastest of a few tries: what the machine can do when nothing disturbs."""
    tries = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        tries.append(time.perf_counter() - start)
    return min(tries)


def make_tree(root: Path) -> None:
    for number in range(EPISODES):
        lab, date = f"LAB{number % 13}", f"2023-{number // 2800 + 1:02d}-{number // 100 % 28 + 1:02d}"
        clock = f"{number // 3600:02d}h-{number // 60 % 60:02d}m-{number % 60:02d}s"
        folder = root / lab / ("failure" if number % 5 == 0 else "success") / date / f"episode_{number}"
        folder.mkdir(parents=True)
        (folder / f"metadata_{lab}+abc+{date}-{clock}.json").touch()
        (folder / "trajectory.h5").touch()


def read_all(path: Path) -> None:
    def read(_: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            item[()]

    with h5py.File(path) as file:
        file.visititems(read)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        make_tree(root / "many")
        took = seconds(lambda: find_episodes(root / "many"), 3)
        print(f"droid: {EPISODES} episodes found in {took:.2f} s, {1e6 * took / EPISODES:.0f} us each")
        path = write_episode(root / "one", steps=STEPS).files.trajectory
        trajectory = read_trajectory(path)
        print(f"droid: a trajectory of {STEPS} steps, {path.stat().st_size / 1e6:.1f} MB, one row a chunk")
        print(f"  read and checked in {1e3 * seconds(lambda: read_trajectory(path), REPEATS):.1f} ms (goal 25)")
        print(f"  every data set by h5py alone in {1e3 * seconds(lambda: read_all(path), REPEATS):.1f} ms")
        print(f"  aligned in {1e3 * seconds(lambda: aligned(trajectory, 'capture'), REPEATS):.2f} ms")


if __name__ == "__main__":
    main()
