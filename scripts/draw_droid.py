"""Write generated episodes of DROID with recordings and calibrations: python scripts/draw_droid.py ROOT [episodes]."""

import sys
from pathlib import Path

from mapanything_data.sim.droid import write_calibrations, write_episode, write_intrinsics_json, write_recordings

root = Path(sys.argv[1])
for seed in range(int(sys.argv[2]) if len(sys.argv) > 2 else 1):
    timestamp = f"2023-08-{12 + seed // 60 % 17:02d}-16h-{seed % 60:02d}m-07s"
    episode = write_episode(root, seed=seed, outcome="failure" if seed % 4 == 3 else "success", timestamp=timestamp)
    write_recordings(episode, missing_frames=seed % 2)
    write_calibrations(root / "calibrations", episode.cameras)
    write_intrinsics_json(episode.files.folder / "intrinsics.json", episode.cameras)
    print(episode.files.folder)
