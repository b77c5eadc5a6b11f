"""Depth and pictures of DROID's SVO recordings, computed by Stereolabs' SDK."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mapanything_data.config import component
from mapanything_data.errors import DataError, require_option
from mapanything_data.scene import Camera
from mapanything_data.sources.episodes import EpisodeFrame
from mapanything_data.sources.zed_sdk import OpenSvo, SvoRequest, check_sdk, open_svo
from mapanything_data.storage.droid.intrinsics import CameraIntrinsics
from mapanything_data.storage.droid.layout import EpisodeFiles


@component("source", "droid_svo")
@dataclass(kw_only=True, slots=True)
class DroidSvoSource:
    """SVO recordings of DROID through Stereolabs' SDK, which must be installed and needs an NVIDIA GPU."""

    depth_mode: str = "neural"
    """How the SDK computes depth: neural_light, neural, neural_plus, ultra, quality or performance, as far as it has
    them."""
    images: bool = False
    """Whether frames have the left picture, too."""
    min_depth: float | None = None
    """Nearest depth in metres; by default the SDK's own, which depends on the baseline."""
    max_depth: float | None = None
    """Farthest depth in metres; by default the SDK's own."""
    opens_per_process: int = 100
    """Recordings after which the SDK's process is replaced; one that lives long crashes after some 2,000."""
    open_timeout_s: float = 900.0
    """Seconds after which the SDK is ended when it does not open a recording. The first use of a neural mode on a
    machine prepares its network, which takes minutes."""
    calibrations: str = ""
    """Folder of factory calibrations, SN{serial}.conf; empty lets the SDK fetch them from Stereolabs' server."""

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        sound_mode = self.depth_mode.isidentifier() and self.depth_mode.lower() != "none"
        require_option("source.depth_mode", self.depth_mode, sound_mode, "a mode such as neural")
        for name in ("min_depth", "max_depth"):
            value = getattr(self, name)
            require_option(f"source.{name}", value, value is None or 0 < value < 65, "metres below 65")
        if self.min_depth is not None and self.max_depth is not None:
            in_order = self.min_depth < self.max_depth
            require_option("source.max_depth", self.max_depth, in_order, "more than source.min_depth")
        require_option("source.opens_per_process", self.opens_per_process, self.opens_per_process >= 1, "at least 1")
        require_option("source.open_timeout_s", self.open_timeout_s, self.open_timeout_s > 0, "a positive number")

    @property
    def gives_images(self) -> bool:
        """As `images` says."""
        return self.images

    @property
    def gives_depth(self) -> bool:
        """Always."""
        return True

    def setup(self) -> None:
        """Make sure that the SDK is there and knows the depth mode.

        Raises:
            MissingDependencyError: It is not installed, or does not know it.
        """
        check_sdk(self.depth_mode.lower())

    @contextmanager
    def open_recording(
        self,
        episode: EpisodeFiles,
        serial: str,
        intrinsics: CameraIntrinsics | None,  # noqa: ARG002 - the SDK rectifies with what it knows itself
    ) -> Iterator[SvoRecording]:
        """Open what one camera recorded; see `EpisodeSource.open_recording`."""
        path = episode.camera(serial).svo
        if path is None:
            raise DataError(
                episode.folder,
                f"has no SVO of camera {serial}",
                expected=f"recordings/SVO/{serial}.svo",
                remedy="download it, or choose source=droid_stereo",
            )
        request = SvoRequest(
            path=path,
            serial=serial,
            depth_mode=self.depth_mode.lower(),
            images=self.images,
            min_depth=self.min_depth,
            max_depth=self.max_depth,
            calibrations=self.calibrations,
            timeout_s=self.open_timeout_s,
            opens_per_process=self.opens_per_process,
        )
        with open_svo(request) as svo:
            if svo.frame_count < 1:
                raise DataError(path, "has no frames", remedy="copy the recording again")
            yield SvoRecording(svo)


@dataclass(frozen=True, slots=True)
class SvoRecording:
    """The open recording of one camera; see `CameraRecording`."""

    svo: OpenSvo

    @property
    def camera(self) -> Camera:
        """The left eye's rectified picture, which depth is of."""
        return self.svo.camera

    @property
    def frame_count(self) -> int:
        """As the recording's header says; the last one may be missing."""
        return self.svo.frame_count

    @property
    def depth_method(self) -> str:
        """The SDK's version and mode."""
        return f"ZED SDK {self.svo.sdk_version} {self.svo.request.depth_mode}, self-calibration off"

    def frames(self) -> Iterator[EpisodeFrame]:
        """All frames in their order, once; frame i belongs to step i.

        Raises:
            DataError: The recording breaks off, or the SDK dies over it.
        """
        for step, (depth, image) in enumerate(self.svo.frames()):
            yield EpisodeFrame(step=step, image=image, depth=depth)
