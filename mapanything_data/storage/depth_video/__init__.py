"""Depth maps as a lossless video, `depth.mkv`, with `depth_meta.json` beside it; see docs/depth_video.md."""

from __future__ import annotations

from mapanything_data.storage.depth_video.meta import DepthMeta, meta_path, read_depth_meta
from mapanything_data.storage.depth_video.quantise import MILLIMETRE, DepthCounts
from mapanything_data.storage.depth_video.reader import DepthVideoReader
from mapanything_data.storage.depth_video.verify import verify_depth_video
from mapanything_data.storage.depth_video.writer import FASTEST, DepthVideoWriter

__all__ = [
    "FASTEST",
    "MILLIMETRE",
    "DepthCounts",
    "DepthMeta",
    "DepthVideoReader",
    "DepthVideoWriter",
    "meta_path",
    "read_depth_meta",
    "verify_depth_video",
]
