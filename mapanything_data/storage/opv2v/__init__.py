"""OPV2V: cameras, LiDAR and poses of several cooperating vehicles (layout, index, annotation, depth, snapshots)."""

from __future__ import annotations

from mapanything_data.storage.opv2v.annotation import (
    Annotation,
    CameraAnnotation,
    Vehicles,
    read_annotation,
    read_cameras,
    write_annotation,
)
from mapanything_data.storage.opv2v.depth import read_depth, write_depth
from mapanything_data.storage.opv2v.index import Agent, Index, Scenario, nearest_root, read_index
from mapanything_data.storage.opv2v.layout import OPV2V, FrameKey, depth_file
from mapanything_data.storage.opv2v.snapshots import (
    read_cloud,
    read_depth_of_size,
    read_image,
    read_snapshot,
    read_view,
    write_cloud,
    write_snapshot,
)

__all__ = [
    "OPV2V",
    "Agent",
    "Annotation",
    "CameraAnnotation",
    "FrameKey",
    "Index",
    "Scenario",
    "Vehicles",
    "depth_file",
    "nearest_root",
    "read_annotation",
    "read_cameras",
    "read_cloud",
    "read_depth",
    "read_depth_of_size",
    "read_image",
    "read_index",
    "read_snapshot",
    "read_view",
    "write_annotation",
    "write_cloud",
    "write_depth",
    "write_snapshot",
]
