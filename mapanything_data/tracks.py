"""python -m mapanything_data.tracks: intrinsics, depth, contact tracks and quality of a robot's episodes."""

from __future__ import annotations

from mapanything_data.config import app
from mapanything_data.stages.tracks import tracks

main = app(tracks)

if __name__ == "__main__":
    main()
