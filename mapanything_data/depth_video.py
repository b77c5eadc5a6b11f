"""python -m mapanything_data.depth_video: verifies depth videos, or takes their frames out."""

from mapanything_data.config import app
from mapanything_data.stages.depth_video import depth_video

main = app(depth_video)

if __name__ == "__main__":
    main()
