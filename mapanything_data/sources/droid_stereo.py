"""Depth from DROID's stereo MP4 by OpenCV's semi-global matching, where Stereolabs' SDK is not to be had."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapanything_data.config import component
from mapanything_data.errors import DataError, require, require_option
from mapanything_data.geometry.stereo import depth_of_disparity, disparity_of_depth
from mapanything_data.scene import Camera
from mapanything_data.sources.droid_mp4 import Pictures, fitting_camera
from mapanything_data.sources.episodes import CameraRecording, EpisodeFrame
from mapanything_data.storage.droid.intrinsics import CameraIntrinsics
from mapanything_data.storage.droid.layout import EpisodeFiles

_SUBPIXELS = 16  # steps of a pixel in which OpenCV counts disparity
_SAME_FOCAL = 1e-3  # relative


class Matching(str, Enum):
    """How OpenCV sums up what neighbours say."""

    three_way = "three_way"
    """along 3 directions, on all cores"""
    five_way = "five_way"
    """along 5 directions, on one core"""
    full = "full"
    """along 8 directions, on one core; takes 0.9 GB at 1280x720 and 224 disparities"""


_NEAREST_BASELINES = 2.5
"""In baselines, so that the disparities, and with them the time, are the same for every camera."""


@component("source", "droid_stereo")
@dataclass(kw_only=True, slots=True)
class DroidStereoSource:
    """Left pictures and depth from {serial}-stereo.mp4, left and right side by side and rectified, by matching.

    Depth is less complete and less exact than the SDK's, and says `sgbm` in its meta. Each camera needs rectified
    intrinsics and the baseline between its eyes.
    """

    matching: Matching = Matching.three_way
    """How neighbours are summed up: `three_way` on all cores, `five_way`, or `full`, which takes the most memory."""
    min_depth: float | None = None
    """Metres; what is nearer is not found. By default two and a half baselines, 0.3 m for a ZED 2 and 0.16 m for a ZED
    Mini. Half of it doubles the time."""
    max_depth: float = 20.0
    """Metres; what is farther counts as unknown."""
    block_size: int = 5
    """Pixels of the side of the squares that are compared, odd, 1 to 11."""
    uniqueness: int = 10
    """Percent by which the best match must beat the second."""
    left_right_check: int = 1
    """Pixels by which matching left to right and right to left may differ; -1 does not check."""
    speckle_size: int = 100
    """Pixels up to which a patch of depth by itself counts as unknown; 0 keeps all."""
    speckle_range: int = 2
    """Pixels of disparity by which neighbours may differ within a patch."""

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        _require("min_depth", self.min_depth, self.min_depth is None or self.min_depth > 0, "metres above 0")
        _require("max_depth", self.max_depth, self.max_depth > (self.min_depth or 0), "metres above source.min_depth")
        _require("block_size", self.block_size, self.block_size in range(1, 12, 2), "an odd number from 1 to 11")
        _require("uniqueness", self.uniqueness, 0 <= self.uniqueness < 100, "percent, 0 to 99")
        _require("left_right_check", self.left_right_check, self.left_right_check >= -1, "pixels, or -1")
        _require("speckle_size", self.speckle_size, self.speckle_size >= 0, "pixels, 0 or more")
        _require("speckle_range", self.speckle_range, self.speckle_range >= 0, "pixels, 0 or more")

    @property
    def gives_images(self) -> bool:
        """True: those of the left eye."""
        return True

    @property
    def gives_depth(self) -> bool:
        """True."""
        return True

    def setup(self) -> None:
        """See `EpisodeSource.setup`."""
        require("av", "cv2")

    @contextmanager
    def open_recording(
        self, episode: EpisodeFiles, serial: str, intrinsics: CameraIntrinsics | None
    ) -> Iterator[CameraRecording]:
        """See `EpisodeSource.open_recording`.

        Raises:
            DataError: Also where the intrinsics are not those of rectified pictures of this shape with a baseline.
        """
        path = episode.camera(serial).stereo_mp4
        if path is None:
            raise DataError(
                episode.folder,
                f"has no recordings/MP4/{serial}-stereo.mp4",
                remedy="fetch the recording, use source=droid_svo, or make no depth",
            )
        pictures = Pictures(path)
        if pictures.width % 2:
            raise DataError(path, f"is {pictures.width} pixels wide", expected="two pictures side by side", remedy=_USE)
        yield _Recording(pictures, _Matcher(self, _pair(path, pictures, intrinsics)))


_USE = "use another source of depth, or make none"


@dataclass(frozen=True, slots=True)
class _Pair:
    """A rectified pair of eyes."""

    camera: Camera
    baseline: float
    offset: float  # pixels, see geometry/stereo.py
    origin: str


def _pair(path: Path, pictures: Pictures, intrinsics: CameraIntrinsics | None) -> _Pair:
    """The eyes of a recording.

    Raises:
        DataError: Raw intrinsics do not say how the SDK rectified: the rotation between the eyes is not among them, and
            a milliradian of it moves every disparity by most of a pixel. So only rectified ones will do.
    """
    if intrinsics is None:
        raise _unsuitable(path, "its camera has no intrinsics")
    if intrinsics.model != "rectified" or intrinsics.left.is_distorted:
        raise _unsuitable(path, f"the intrinsics ({intrinsics.origin}) are of the raw lens")
    if not intrinsics.baseline or not (intrinsics.baseline > 0 and math.isfinite(intrinsics.baseline)):
        raise _unsuitable(path, f"the baseline between the eyes is not known ({intrinsics.baseline})")
    width, height = pictures.width // 2, pictures.height
    camera = fitting_camera(intrinsics, width, height)
    left, right = intrinsics.left, intrinsics.right or intrinsics.left
    if camera is None or (left.width, left.height) != (right.width, right.height):
        raise _unsuitable(path, f"the intrinsics are of {left.width}x{left.height}, its pictures of {width}x{height}")
    if abs(left.fx / right.fx - 1) > _SAME_FOCAL:
        raise _unsuitable(path, f"its eyes have different focal lengths, {left.fx} and {right.fx} pixels")
    origin = f"{intrinsics.provider} {'approximate' if intrinsics.is_approximate else ''}".strip()
    return _Pair(camera, intrinsics.baseline, camera.cx - right.resized(width, height).cx, origin)


def _unsuitable(path: Path, found: str) -> DataError:
    return DataError(
        path,
        f"no depth can be made of it: {found}",
        expected="rectified intrinsics of pictures of this shape, and the baseline",
        remedy="give the camera's rectified intrinsics, or " + _USE,
    )


class _Matcher:
    """Finds depth in pairs of pictures of one camera."""

    def __init__(self, options: DroidStereoSource, pair: _Pair) -> None:
        import cv2

        focal, baseline = pair.camera.fx, pair.baseline
        self._options, self.pair = options, pair
        self._lowest = math.floor(pair.offset)
        self._nearest = _NEAREST_BASELINES * baseline if options.min_depth is None else options.min_depth
        highest = float(disparity_of_depth(self._nearest, focal, baseline, pair.offset))
        self._count = 16 * math.ceil((highest - self._lowest + 1) / 16)  # OpenCV wants whole sixteens
        modes = {
            Matching.three_way: cv2.STEREO_SGBM_MODE_SGBM_3WAY,
            Matching.five_way: cv2.STEREO_SGBM_MODE_SGBM,
            Matching.full: cv2.STEREO_SGBM_MODE_HH,
        }
        area = options.block_size**2
        self._sgbm = cv2.StereoSGBM.create(
            minDisparity=self._lowest,
            numDisparities=self._count,
            blockSize=options.block_size,
            P1=8 * area,  # the penalties that OpenCV's manual recommends for grey pictures
            P2=32 * area,
            disp12MaxDiff=options.left_right_check,
            preFilterCap=63,
            uniquenessRatio=options.uniqueness,
            speckleWindowSize=options.speckle_size,
            speckleRange=options.speckle_range,
            mode=modes[options.matching],
        )

    @property
    def method(self) -> str:
        options, pair = self._options, self.pair
        return (
            f"sgbm {options.matching.value}, block {options.block_size}, {self._count} disparities, not the camera's"
            f" SDK; baseline {1e3 * pair.baseline:.1f} mm, intrinsics {pair.origin}"
        )

    def depth(self, both: NDArray[np.uint8]) -> NDArray[np.float32]:
        """[H, W] float32 metres, 0 where unknown, of the left half of [H, 2 W, 3] uint8 RGB."""
        import cv2

        width, pair = self.pair.camera.width, self.pair
        grey = cv2.cvtColor(both, cv2.COLOR_RGB2GRAY)
        # OpenCV leaves out the columns at the left where not all disparities fit into the right picture, a sixth of
        # the width for what lies near. With a margin it searches them too.
        margin = max(0, self._lowest + self._count)
        left, right = (_with_margin(eye, margin) for eye in (grey[:, :width], grey[:, width:]))
        steps = self._sgbm.compute(left, right)[:, margin:]
        disparity = steps.astype(np.float32) / _SUBPIXELS
        is_found = (steps >= self._lowest * _SUBPIXELS) & (disparity <= np.arange(width))  # not in the margin
        depth = depth_of_disparity(
            np.where(is_found, disparity, np.float32(np.nan)), pair.camera.fx, pair.baseline, pair.offset
        )
        depth[(depth > self._options.max_depth) | (depth < self._nearest)] = 0
        return depth


def _with_margin(grey: NDArray[np.uint8], margin: int) -> Any:
    import cv2

    return cv2.copyMakeBorder(grey, 0, 0, margin, 0, cv2.BORDER_REPLICATE)


@dataclass(frozen=True, slots=True)
class _Recording:
    pictures: Pictures
    matcher: _Matcher

    @property
    def camera(self) -> Camera | None:
        return self.matcher.pair.camera

    @property
    def frame_count(self) -> int:
        return len(self.pictures)

    @property
    def depth_method(self) -> str:
        return self.matcher.method

    def frames(self) -> Iterator[EpisodeFrame]:
        width = self.pictures.width // 2
        for step, both in enumerate(self.pictures.images()):
            if both is None:
                yield EpisodeFrame(step=step)
            else:
                image = np.ascontiguousarray(both[:, :width])
                yield EpisodeFrame(step=step, image=image, depth=self.matcher.depth(both))


def _require(name: str, value: Any, sound: bool, expected: str) -> None:
    require_option(f"source.{name}", value, sound, expected)
