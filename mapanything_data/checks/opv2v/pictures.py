"""Whether the pictures of a camera can be read, have the size of their intrinsics, and change when the agent moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from mapanything_data.checks.finding import Finding, Severity
from mapanything_data.checks.opv2v.telling import AgentFiles, Mark, tell, why_unreadable
from mapanything_data.checks.pictures import PictureLog
from mapanything_data.errors import DataError
from mapanything_data.scene.arrays import Floats
from mapanything_data.storage.opv2v import Annotation, read_image
from mapanything_data.storage.opv2v.layout import camera_part

_STANDS_M = 0.01
"""A picture may equal the one before when the agent moved less than this between the two."""


@dataclass(slots=True)
class CameraLog:
    """Takes note of each picture of one camera of an agent."""

    files: AgentFiles
    camera: int
    unreadable: dict[int, Mark] = field(default_factory=dict)
    sizes: dict[int, tuple[int, int]] = field(default_factory=dict)
    sequence: PictureLog = field(init=False)

    def __post_init__(self) -> None:
        order = sorted(self.files.agent.frames)
        part = self.part
        self.sequence = PictureLog(self.files.item, lambda place: self.files.key(order[place]).file(part).name)

    @property
    def part(self) -> str:
        """Such as `camera0`."""
        return camera_part(self.camera)

    def add(self, frame: int, place: int, *, agent_stands: bool) -> tuple[int, int] | None:
        """Read a picture and take note of it.

        Args:
            frame: Its number.
            place: The same, counted without gaps.
            agent_stands: Whether nothing may have changed since the frame before.

        Returns:
            Height and width, None where the picture cannot be read.
        """
        path = self.files.path(frame, self.part)
        try:
            image = read_image(path)
        except DataError as error:
            self.unreadable[frame] = Mark(why_unreadable(path, error))
            return None
        self.sequence.add(place, image, may_repeat=agent_stands)
        self.sizes[frame] = image.shape[0], image.shape[1]
        return self.sizes[frame]

    def findings(self) -> Iterator[Finding]:
        """What is wrong, sizes apart."""
        restore = "restore the picture from its archive, or leave the frame out"
        yield from tell(self.files, Severity.fail, "unreadable", self.part, self.unreadable, remedy=restore)
        yield from self.sequence.findings()

    def wrong_sizes(self, intrinsics: Floats | None) -> dict[int, Mark]:
        """Frames whose picture has a wrong size.

        Args:
            intrinsics: The usual K of the camera, [3, 3], None where it is unknown.
        """
        if not self.sizes:
            return {}
        if intrinsics is not None:
            # The principal point is the middle of the picture; centres of pixels are integers.
            width, height = 2 * intrinsics[0, 2] + 1, 2 * intrinsics[1, 2] + 1
            expected = f"cx and cy are for {width:g}x{height:g}"
        else:
            height, width = Counter(self.sizes.values()).most_common(1)[0][0]
            expected = f"most are {width}x{height}"
        return {
            frame: Mark(f"is {size[1]}x{size[0]}, {expected}")
            for frame, size in self.sizes.items()
            if abs(size[1] - width) > 1 or abs(size[0] - height) > 1
        }


def standing_frames(files: AgentFiles, annotations: Mapping[int, Annotation]) -> set[int]:
    """Frames whose pictures may be identical: the agent is where it was in the frame before, or nobody knows."""
    frames, unknown = sorted(annotations), files.agent.frames.keys() - annotations.keys()
    positions = np.array([annotations[frame].T_world_lidar.translation for frame in frames]).reshape(-1, 3)
    metres = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    return unknown | {frames[place + 1] for place in np.flatnonzero(metres < _STANDS_M)}
