"""What the data is: cameras, poses, views, frames, episodes, boxes, detections, tracks (NumPy only)."""

from __future__ import annotations

from mapanything_data.scene.box import Box3D
from mapanything_data.scene.camera import NO_DISTORTION, Camera, Distortion
from mapanything_data.scene.contact import ContactMotion, StaticCamera, WristCamera
from mapanything_data.scene.detections import Detections
from mapanything_data.scene.episode import Episode
from mapanything_data.scene.frame import Frame, View
from mapanything_data.scene.pose import Pose
from mapanything_data.scene.snapshot import PointCloud, Snapshot
from mapanything_data.scene.tracks import Tracks

__all__ = [
    "NO_DISTORTION",
    "Box3D",
    "Camera",
    "ContactMotion",
    "Detections",
    "Distortion",
    "Episode",
    "Frame",
    "PointCloud",
    "Pose",
    "Snapshot",
    "StaticCamera",
    "Tracks",
    "View",
    "WristCamera",
]
