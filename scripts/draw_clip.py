"""Write a clip of a synthetic drive: python scripts/draw_clip.py drive.mp4 [frames]."""

import sys
from pathlib import Path

from mapanything_data.sim.clip import write_clip

write_clip(Path(sys.argv[1]), frames=int(sys.argv[2]) if len(sys.argv) > 2 else 100)
