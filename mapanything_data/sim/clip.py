"""A synthetic drive along a country road, for the demo, the tests and the benchmarks.

Every picture carries its own number as a strip of black and white blocks along its lower edge, large enough to survive
lossy compression, so that a test can tell from the pixels alone which picture it was handed. A chart of known colours
stands above the horizon.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PATCHES = {
    "red": (200, 40, 40),
    "green": (40, 160, 60),
    "blue": (40, 70, 190),
    "yellow": (220, 190, 40),
    "cyan": (40, 180, 190),
    "gray": (128, 128, 128),
}
"""Colours of the chart, left to right, RGB."""

_NUMBER_BITS = 16
_CAMERA_HEIGHT = 1.5  # metres above the road
_SPEED = 16.0  # metres per second


class Drive:
    """The view from a car that follows a straight road at constant speed.

    Args:
        width: Picture width in pixels, at least 64.
        height: Picture height in pixels, at least 48.
        seed: Chooses the texture of the ground and the hills and the places of the posts.
    """

    def __init__(self, width: int, height: int, seed: int = 0) -> None:
        if width < 64 or height < 48:
            raise ValueError(f"a picture of {width}x{height} has no room for the number strip: use 64x48 or more")
        self.width, self.height = width, height
        rng = np.random.default_rng(seed)
        self._texture = _smooth_noise(rng, 256)
        self._horizon = int(height * 0.45)
        self._focal = 0.9 * width
        self._posts = np.cumsum(rng.uniform(8.0, 20.0, 64))
        self._sky = self._draw_sky(rng)

    def draw(self, number: int, time: float) -> NDArray[np.uint8]:
        """Draw one picture.

        Args:
            number: Number written into the strip, below 65536.
            time: Seconds since the start, which places the car on the road.

        Returns:
            [H, W, 3] uint8 RGB.
        """
        travelled = _SPEED * time
        image: NDArray[np.uint8] = self._sky.copy()
        image[self._horizon :] = self._draw_ground(travelled)
        self._draw_posts(image, travelled)
        for name, (left, top, right, bottom) in patch_boxes(self.width, self.height).items():
            image[top:bottom, left:right] = PATCHES[name]
        _write_number(image, number)
        return image

    def _draw_sky(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        height, width = self.height, self.width
        fade = np.linspace(0, 1, height)[:, None, None]
        sky = (1 - fade) * np.array([105, 160, 215]) + fade * np.array([225, 230, 235])
        image = np.broadcast_to(sky, (height, width, 3)).astype(np.float32)
        columns = np.linspace(0, 1, width)
        rows = np.arange(height)[:, None]
        for depth, colour in enumerate([(150, 170, 185), (105, 135, 130), (70, 105, 75)]):
            frequencies = np.array([1.3, 3.1, 7.7, 17.0]) * (1 + 0.3 * depth)
            waves = np.sin(2 * np.pi * frequencies[:, None] * columns + rng.uniform(0, 6.3, (4, 1)))
            ridge = self._horizon - height * (0.10 - 0.03 * depth + 0.03 * waves.T @ [0.6, 0.3, 0.15, 0.06])
            image = np.where((rows > ridge)[..., None], np.array(colour, np.float32), image)
        sky_and_hills: NDArray[np.uint8] = image.astype(np.uint8)
        return sky_and_hills

    def _draw_ground(self, travelled: float) -> NDArray[np.uint8]:
        rows = np.arange(self._horizon, self.height)[:, None] + 0.5 - self._horizon
        ahead = _CAMERA_HEIGHT * self._focal / rows  # [h, 1] metres
        sideways = (np.arange(self.width) - self.width / 2) * ahead / self._focal  # [h, w] metres
        along = np.broadcast_to(ahead + travelled, sideways.shape)
        # Detail finer than a pixel would flicker, so it fades with the distance that a row covers.
        sharpness = np.clip(rows / (0.08 * self.height), 0, 1)
        grain = (self._sample(along * 6, sideways * 6) - 0.5) * sharpness
        patchy = self._sample(along * 0.5, sideways * 0.5) - 0.5

        on_road = np.abs(sideways) < 3.8
        edge_line = np.abs(np.abs(sideways) - 3.4) < 0.09
        dash = (np.abs(sideways) < 0.09) & (along % 9 < 3)
        brightness = 40 * grain + 40 * patchy
        grass = np.array([96, 128, 62], np.float32) + brightness[..., None] * np.array([1.0, 1.2, 0.6], np.float32)
        asphalt = np.array([92, 93, 98], np.float32) + (0.7 * brightness)[..., None]
        ground = np.where(on_road[..., None], asphalt, grass)
        ground = np.where((edge_line | dash)[..., None], np.array([225, 225, 215], np.float32), ground)
        haze = np.exp(-rows / (0.06 * self.height))[..., None]
        shown: NDArray[np.uint8] = (
            (ground * (1 - haze) + np.array([190, 200, 195], np.float32) * haze).clip(0, 255).astype(np.uint8)
        )
        return shown

    def _draw_posts(self, image: NDArray[np.uint8], travelled: float) -> None:
        lap = self._posts[-1]
        distances = (self._posts - travelled) % lap
        for nth in np.argsort(-distances):
            ahead = distances[nth]
            if not 3.0 < ahead < 120.0:
                continue
            scale = self._focal / ahead  # pixels per metre
            side = 1 if nth % 2 else -1
            left = round(self.width / 2 + scale * (side * 5.0 - 0.1))
            right = max(left + 1, round(self.width / 2 + scale * (side * 5.0 + 0.1)))
            bottom = round(self._horizon + scale * _CAMERA_HEIGHT)
            top, band = round(bottom - 1.6 * scale), round(bottom - 1.2 * scale)
            columns = slice(max(left, 0), max(right, 0))
            image[max(top, 0) : max(bottom, 0), columns] = (235, 235, 230)
            image[max(top, 0) : max(band, 0), columns] = (190, 50, 40)

    def _sample(self, along: NDArray[Any], sideways: NDArray[Any]) -> NDArray[np.float32]:
        size = len(self._texture)
        texels: NDArray[np.float32] = self._texture[
            along.astype(np.int64) % size, np.floor(sideways).astype(np.int64) % size
        ]
        return texels


def write_clip(
    path: str | Path,
    *,
    frames: int = 60,
    width: int = 1280,
    height: int = 720,
    fps: int = 20,
    codec: str = "libx264",
    options: Mapping[str, str] | None = None,
    pixel_format: str = "yuv420p",
    timestamps: Sequence[float] | None = None,
    seed: int = 0,
) -> Path:
    """Record the synthetic drive; the suffix of `path` chooses the container.

    Colours are written as BT.709 in limited range, and tagged so.

    Args:
        path: File to write.
        frames: Number of pictures.
        width: Picture width in pixels.
        height: Picture height in pixels.
        fps: Pictures per second.
        codec: FFmpeg encoder, e.g. `libx264`, `libx265`, `mpeg4`, `libvpx-vp9`, `ffv1`.
        options: Options of the encoder, e.g. `{"g": "10", "bf": "2"}`.
        pixel_format: FFmpeg pixel format; `yuv420p` wants even sizes, `yuv444p` takes odd ones.
        timestamps: Presentation times in seconds, one for each picture, for a variable frame rate.
        seed: Seed of the scenery.

    Returns:
        `path`.
    """
    import av
    from av.video.reformatter import ColorRange, Colorspace

    path = Path(path)
    times = [number / fps for number in range(frames)] if timestamps is None else list(timestamps)
    if len(times) != frames:
        raise ValueError(f"{frames} frames need {frames} timestamps, found {len(times)}")
    drive = Drive(width, height, seed)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps, options=dict(options or {}))
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.codec_context.colorspace = Colorspace.ITU709
        stream.codec_context.color_range = ColorRange.MPEG
        # MPEG-4 part 2 knows only clocks of up to 65535 ticks a second.
        stream.codec_context.time_base = Fraction(1, fps) if timestamps is None else Fraction(1, 1000)
        for number, time in enumerate(times):
            picture = av.VideoFrame.from_ndarray(drive.draw(number, time), format="rgb24")
            picture = picture.reformat(
                format=pixel_format,
                dst_colorspace=Colorspace.ITU709,
                src_color_range=ColorRange.JPEG,
                dst_color_range=ColorRange.MPEG,
            )
            picture.time_base = stream.codec_context.time_base
            picture.pts = round(time / picture.time_base)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def patch_boxes(width: int, height: int) -> dict[str, tuple[int, int, int, int]]:
    """Where the colour chart stands in a picture of this size.

    Returns:
        For each name of `PATCHES` its box, xyxy in pixels, right and bottom exclusive.
    """
    side = min(height // 6, width // 12)
    margin = side // 2
    return {
        name: (margin + nth * side, margin, margin + (nth + 1) * side, margin + side)
        for nth, name in enumerate(PATCHES)
    }


def read_frame_number(image: NDArray[np.uint8]) -> int:
    """Read the number that a picture of the drive carries, after compression or scaling.

    Args:
        image: [H, W, 3] uint8, upright.

    Returns:
        The frame number.

    Raises:
        ValueError: A block is neither black nor white: the picture is damaged or not of this drive.
    """
    height, width = image.shape[:2]
    luma = image.astype(np.float32).mean(axis=2)
    blocks = _number_blocks(width, height)
    # The margin keeps the ringing at the edges of a block out of its mean.
    levels = np.array([luma[rows, cols][1:-1, 1:-1].mean() for rows, cols in blocks], dtype=np.float32)
    if ((levels > 90) & (levels < 165)).any():
        raise ValueError(f"the number strip cannot be read: block levels {levels.round().astype(int).tolist()}")
    return int("".join("1" if level > 127 else "0" for level in levels), 2)


def _number_blocks(width: int, height: int) -> list[tuple[slice, slice]]:
    edges = np.linspace(0, width, _NUMBER_BITS + 1).round().astype(int)
    rows = slice(height - max(height // 16, 6), height)
    return [(rows, slice(int(left), int(right))) for left, right in pairwise(edges)]


def _write_number(image: NDArray[np.uint8], number: int) -> None:
    if not 0 <= number < 1 << _NUMBER_BITS:
        raise ValueError(f"frame number {number} does not fit into {_NUMBER_BITS} blocks")
    for (rows, columns), bit in zip(
        _number_blocks(image.shape[1], image.shape[0]), f"{number:0{_NUMBER_BITS}b}", strict=True
    ):
        image[rows, columns] = 235 if bit == "1" else 20


def _smooth_noise(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    """Periodic noise in [0, 1] with detail at several scales: [size, size] float32."""
    noise = np.zeros((size, size), dtype=np.float32)
    for cells in (8, 32, 128, 256):
        coarse = rng.random((cells, cells), dtype=np.float32)
        noise += np.kron(coarse, np.ones((size // cells, size // cells), dtype=np.float32)) / 4
    noise -= noise.min()
    noise /= noise.max()
    return noise
