"""What the tracks app needs of a source: the pictures or depth maps of one camera of an episode, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mapanything_data.scene import Camera
from mapanything_data.storage.droid.intrinsics import CameraIntrinsics
from mapanything_data.storage.droid.layout import EpisodeFiles


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class EpisodeFrame:
    """What a camera saw at one step of an episode.

    Attributes:
        step: Index into the episode's steps.
        image: [H, W, 3] uint8 RGB, or None where the source gives none or the picture is damaged.
        depth: [H, W] float32, z-depth in metres, 0 where invalid, or None in the same cases.
    """

    step: int
    image: NDArray[np.uint8] | None = None
    depth: NDArray[np.float32] | None = None


class CameraRecording(Protocol):
    """The open recording of one camera."""

    @property
    def camera(self) -> Camera | None:
        """Intrinsics that fit the pictures and depth maps which it gives, as far as it knows them."""

    @property
    def frame_count(self) -> int:
        """How many frames it has. An episode may have more steps: the last picture is sometimes missing."""

    @property
    def depth_method(self) -> str:
        """How depth is computed, such as `zed neural, self-calibration off`; empty where none is given."""

    def frames(self) -> Iterator[EpisodeFrame]:
        """All frames in their order; frame i belongs to step i.

        Raises:
            DataError: The recording breaks off.
        """


class EpisodeSource(Protocol):
    """The component."""

    @property
    def gives_depth(self) -> bool:
        """Whether its frames have depth."""

    @property
    def gives_images(self) -> bool:
        """Whether its frames have pictures."""

    def setup(self) -> None:
        """Make sure, once in every worker, that what it needs is installed.

        Raises:
            MissingDependencyError: It is not.
        """

    def open_recording(
        self, episode: EpisodeFiles, serial: str, intrinsics: CameraIntrinsics | None
    ) -> AbstractContextManager[CameraRecording]:
        """Open what one camera recorded.

        Args:
            episode: The episode.
            serial: The camera.
            intrinsics: What is known of its lenses, if anything is.

        Raises:
            DataError: The camera has no recording of this kind, or it cannot be read.
        """
