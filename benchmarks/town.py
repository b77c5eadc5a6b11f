"""How fast one core simulates what agents sense in the town, at OPV2V's size: four pictures of 800x600 with depth.

Run it on one core: `taskset -c 0 python benchmarks/town.py`. Writing files comes on top.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

os.environ.setdefault("LP_NUM_THREADS", "0")  # Mesa draws in the calling thread

from mapanything_data.scene import Snapshot
from mapanything_data.sources.town import TownSource

ROUNDS = 8
CAMERAS = 4


def fastest(action: Callable[[], Snapshot]) -> float:
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    print(f"town: pictures a second on one core, best of {ROUNDS} moments (goal 10 with depth)")
    for name, options in (
        ("colour and depth, hardly any LiDAR", {"lidar_channels": 2, "lidar_steps": 4}),
        ("colour, depth and LiDAR", {}),
        ("colour, depth, LiDAR and classes", {"segmentation": True}),
    ):
        source = TownSource(train=1, validate=0, test=0, **options)
        (scenario,) = source.scenarios()
        start = time.perf_counter()
        with source.open(scenario) as recorder:
            opened = time.perf_counter() - start
            frames = iter(scenario.frames)
            seconds = fastest(lambda: recorder.snapshot(scenario.agents[0], next(frames)))  # noqa: B023
        print(f"  {CAMERAS / seconds:5.1f}  {name} ({seconds * 1e3:.0f} ms a moment, {opened:.1f} s to build the town)")


if __name__ == "__main__":
    main()
