"""Frames that behave like road video, for benchmarks: made here, so that every machine measures the same.

Fractal texture with the contrast of road, verge and sky; luma noise and colour noise at half size as in 4:2:0 video;
then HEVC. Checked against two real road recordings, brought to this size and through the same codec: OpenCV writes 0.36
bytes per sample here and 0.31 to 0.42 there; relative to that, `encode_png` writes 0.90 here and 0.94 to 0.97 there,
and OpenCV at level 1 writes 1.02 here and 0.88 to 1.00 there.
"""

from __future__ import annotations

import io

import av
import cv2
import numpy as np

WIDTH, HEIGHT = 1928, 1208
"""The size of openpilot's road camera."""


def road_frames(count: int) -> list[np.ndarray]:
    """A road that moves sideways, as a camera sees it before any codec; [HEIGHT, WIDTH, 3] uint8 each."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    horizon = HEIGHT / 2
    road = (y > horizon) & (abs(x - WIDTH / 2) < 60 + 1100 * (y - horizon) / horizon)
    verge = (y > horizon - 180) & ~road
    colour = np.where(road[..., None], (95, 97, 100), np.where(verge[..., None], (92, 105, 70), (150, 180, 220)))
    texture = np.stack([fractal(rng) for _ in range(3)], axis=-1)
    texture = 0.4 * texture[..., :1] + 0.6 * texture  # the channels agree in part
    contrast = np.select([road, verge], [5.0, 22.0], 1.5)[..., None]
    scene = colour + contrast * texture
    frames = []
    for step in range(count):
        luma = rng.normal(0, 1.5, (HEIGHT, WIDTH, 1))
        chroma = cv2.resize(rng.normal(0, 2, (HEIGHT // 2, WIDTH // 2, 3)), (WIDTH, HEIGHT))
        frames.append(np.clip(np.roll(scene, 4 * step, axis=1) + luma + chroma, 0, 255).astype(np.uint8))
    return frames


def fractal(rng: np.random.Generator) -> np.ndarray:
    """Noise whose amplitude falls with frequency as in natural images; [HEIGHT, WIDTH], deviation 1."""
    frequency = np.hypot(np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH))
    frequency[0, 0] = 1
    spectrum = np.fft.rfft2(rng.normal(size=(HEIGHT, WIDTH))) / frequency**1.3
    field = np.fft.irfft2(spectrum, s=(HEIGHT, WIDTH))
    return field / field.std()


def hevc_stream(frames: list[np.ndarray]) -> bytes:
    """The frames as HEVC without B-frames in Matroska, as a car's recorder writes it."""
    stream = io.BytesIO()
    with av.open(stream, "w", format="matroska") as output:
        video = output.add_stream("libx265", rate=20)
        video.width, video.height, video.pix_fmt, video.bit_rate = WIDTH, HEIGHT, "yuv420p", 16_000_000
        video.options = {"preset": "ultrafast", "x265-params": "log-level=none:bframes=0"}
        for frame in frames:
            output.mux(video.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        output.mux(video.encode())
    return stream.getvalue()
