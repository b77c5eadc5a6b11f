"""Boxes in pictures from boxes in space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mapanything_data.config import component
from mapanything_data.errors import require_option
from mapanything_data.geometry.boxes_in_picture import boxes_in_picture, hidden_share
from mapanything_data.labelers.protocol import Labels, LabelView, Moment, Needs, Row, Writer
from mapanything_data.scene import Box3D, Detections
from mapanything_data.scene.arrays import Floats
from mapanything_data.storage.detections import detection_writers
from mapanything_data.storage.opv2v.layout import LABEL, camera_part


@component("labeler", "boxes3d")
@dataclass(kw_only=True, slots=True)
class Boxes3D:
    """2D boxes of the annotated vehicles, with truncation, distance and, from depth maps, occlusion."""

    columns: ClassVar[tuple[str, ...]] = ("frame", "camera", "vehicles", "in_picture", "boxes")
    class_names: ClassVar[tuple[str, ...]] = (LABEL,)

    depth: bool = False
    """Whether to tell occlusion from the data set's depth maps; without them it is null."""
    min_size: float = 2.0
    """Shorter side of the smallest box that is kept, pixels."""
    max_distance: float | None = None
    """Distance from the camera to the centre of the farthest box that is kept, metres; null keeps all."""
    max_truncation: float = 0.95
    """Boxes of which a larger share lies outside of the picture are left out."""
    max_occlusion: float = 1.0
    """Boxes of which a larger share is hidden are left out; boxes of unknown occlusion are kept."""

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        farthest = self.max_distance
        require_option("labeler.min_size", self.min_size, self.min_size >= 0, "0 pixels or more")
        require_option("labeler.max_distance", farthest, farthest is None or farthest > 0, "metres above 0, or null")
        for name in ("max_truncation", "max_occlusion"):
            share = getattr(self, name)
            require_option(f"labeler.{name}", share, 0 <= share <= 1, "0 to 1")
        require_option(
            "labeler.max_occlusion",
            self.max_occlusion,
            self.depth or self.max_occlusion == 1,
            "1 where there are no depth maps, since nobody knows what is hidden then",
            remedy="add labeler.depth=true and give dataset.depth_root, or leave labeler.max_occlusion out",
        )

    @property
    def suffixes(self) -> list[str]:
        """YOLO and JSON."""
        return [".txt", ".json"]

    @property
    def needs(self) -> Needs:
        """Depth maps, if at all."""
        return Needs(depth=self.depth)

    def open(self) -> OpenBoxes3D:
        """Ready at once."""
        return OpenBoxes3D(self)


class OpenBoxes3D:
    """Projects the boxes of one moment after the other."""

    def __init__(self, options: Boxes3D) -> None:
        self._options = options

    def label(self, moment: Moment) -> Labels:
        """The boxes in every camera."""
        files: dict[str, Writer] = {}
        rows: list[Row] = []
        for number, view in sorted(moment.views.items()):
            detections, attributes, in_picture = self._detect(view, moment.boxes)
            stem = f"{moment.name}_{camera_part(number)}"
            files |= detection_writers(stem, detections, view.camera.width, view.camera.height, attributes)
            rows.append(
                {
                    "frame": moment.name,
                    "camera": number,
                    "vehicles": len(moment.boxes),
                    "in_picture": in_picture,
                    "boxes": len(detections),
                }
            )
        return Labels(files=files, rows=rows)

    def _detect(self, view: LabelView, boxes: Sequence[Box3D]) -> tuple[Detections, dict[str, Floats], int]:
        """Boxes of one picture, what is known of each, and how many are in the picture before any is left out."""
        T_camera_world = view.T_world_camera.inverse().matrix
        T_camera_box = T_camera_world @ np.array([box.T_world_box.matrix for box in boxes]).reshape(-1, 4, 4)
        extent = np.array([box.extent for box in boxes]).reshape(-1, 3)
        seen = boxes_in_picture(view.camera, T_camera_box, extent)
        in_picture = seen.truncation < 1
        kept = np.flatnonzero(in_picture & self._is_wanted(seen.visible, seen.truncation, seen.distance))
        occlusion = np.full(len(kept), np.nan)
        if view.depth is not None:
            occlusion = hidden_share(view.camera, view.depth, T_camera_box[kept], extent[kept], seen.visible[kept])
        is_clear = ~(occlusion > self._options.max_occlusion)
        kept, occlusion = kept[is_clear], occlusion[is_clear]
        detections = Detections(
            boxes=seen.visible[kept].astype(np.float32),
            scores=np.ones(len(kept), np.float32),
            class_ids=np.zeros(len(kept), np.int64),
            class_names=Boxes3D.class_names,
            track_ids=np.array([box.id for box in boxes], np.int64)[kept],
        )
        attributes = {
            "truncation": seen.truncation[kept],
            "occlusion": occlusion,
            "distance": seen.distance[kept],
        }
        return detections, attributes, int(in_picture.sum())

    def _is_wanted(self, visible: Floats, truncation: Floats, distance: Floats) -> NDArray[np.bool_]:
        options = self._options
        size = np.minimum(visible[:, 2] - visible[:, 0], visible[:, 3] - visible[:, 1])
        farthest = np.inf if options.max_distance is None else options.max_distance
        wanted: NDArray[np.bool_] = (
            (size >= options.min_size) & (truncation <= options.max_truncation) & (distance <= farthest)
        )
        return wanted
