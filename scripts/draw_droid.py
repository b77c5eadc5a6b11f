"""Write generated episodes of DROID with recordings and calibrations: python scripts/draw_droid.py ROOT [episodes].

ROOT/intrinsics.json and ROOT/calibrations hold for all of them, as the cameras are the same.
"""

import argparse
import sys
from pathlib import Path

from mapanything_data.errors import UserError
from mapanything_data.sim.droid import write_calibrations, write_episode, write_intrinsics_json, write_recordings

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("root", type=Path, help="folder that the episodes are written to")
parser.add_argument("episodes", type=int, nargs="?", default=1, help="how many; every fourth is a failure")
parser.add_argument("--steps", type=int, default=40, help="of an episode, 14 a second; 40 take some seconds to draw")
parser.add_argument("--size", type=int, nargs=2, default=(320, 180), metavar=("WIDTH", "HEIGHT"), help="of pictures")
arguments = parser.parse_args()
if arguments.steps < 2:
    parser.error("--steps must be 2 or more")
if arguments.root.exists() and any(arguments.root.iterdir()):
    parser.error(f"{arguments.root} is not empty: name another folder, or delete it")

width, height = arguments.size
try:
    for seed in range(arguments.episodes):
        episode = write_episode(
            arguments.root,
            seed=seed,
            steps=arguments.steps,
            outcome="failure" if seed % 4 == 3 else "success",
            timestamp=f"2023-08-{12 + seed // 60 % 17:02d}-16h-{seed % 60:02d}m-07s",
            width=width,
            height=height,
        )
        write_recordings(episode, missing_frames=seed % 2)
        write_calibrations(arguments.root / "calibrations", episode.cameras)
        write_intrinsics_json(arguments.root / "intrinsics.json", episode.cameras)
        print(episode.files.folder, flush=True)
except UserError as error:
    sys.exit(f"error: {error}")
print(f"intrinsics.json={arguments.root / 'intrinsics.json'} holds for all of them")
