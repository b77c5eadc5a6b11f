"""How fast and how small depth videos are at 1280x720, beside PNG of 16 bits and 16 bits packed into 8-bit BGR.

Everything runs in one process in turns, so that the ratios hold on any machine; the fastest of a few tries counts.
`smooth` is a drawn terrain with boxes on it, as a renderer or a neural network gives it. `speckled` is the same with a
sensor's noise, which grows with the square of depth (2.8 mm at 1 m), and a tenth of the pixels missing here and there.
"""

from __future__ import annotations

import io
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mapanything_data.storage.depth_video import DepthVideoReader, DepthVideoWriter

WIDTH, HEIGHT, FRAMES, REPEATS, ACCESSES = 1280, 720, 24, 5, 100
RAW = 2 * WIDTH * HEIGHT * FRAMES
GOALS = {"smooth": 0.12, "speckled": 0.60}


def terrain(number: int) -> NDArray[np.float32]:
    """Metres to rolling ground with boxes on it, seen by a camera that moves on from map to map."""
    import cv2

    rng = np.random.default_rng(7)
    rows = np.linspace(0, 1, HEIGHT)[:, None]
    relief = np.zeros((HEIGHT, WIDTH), np.float32)
    for cells in (4, 8, 16, 32):
        heights = rng.normal(size=(cells, 3 * cells)).astype(np.float32)
        wide = cv2.resize(heights, (3 * WIDTH // 2, HEIGHT), interpolation=cv2.INTER_CUBIC)
        relief += np.roll(wide, -7 * number, axis=1)[:, :WIDTH] / cells
    depth = (0.6 + 4 * np.exp(-3 * rows)) * (1 + 0.3 * relief)
    for _ in range(12):
        left, top = int(rng.integers(0, WIDTH - 160)), int(rng.integers(200, HEIGHT - 160))
        box = depth[top : top + 140, left : left + 150]
        box[:] = box.min() * np.linspace(0.85, 0.95, box.shape[1])
    return depth.clip(0.2, 30).astype(np.float32)


def speckled(depth: NDArray[np.float32], number: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(number)
    noisy = depth + 0.0028 * depth**2 * rng.standard_normal(depth.shape)
    return np.where(rng.random(depth.shape) < 0.1, 0, noisy).astype(np.float32)


def write_values(path: Path, values: Sequence[NDArray[np.uint16]]) -> float:
    """Seconds to encode whole numbers, which is what PNG gets."""
    with DepthVideoWriter(path, WIDTH, HEIGHT, 15.0) as writer:
        start = time.perf_counter()
        for frame in values:
            writer.write_raw(frame)
        return time.perf_counter() - start


def write_metres(path: Path, maps: Sequence[NDArray[np.float32]]) -> float:
    """Seconds from maps in metres to the finished pair of files."""
    start = time.perf_counter()
    with DepthVideoWriter(path, WIDTH, HEIGHT, 15.0) as writer:
        for depth in maps:
            writer.write(depth)
    return time.perf_counter() - start


def png_bytes(values: Sequence[NDArray[np.uint16]]) -> int:
    import cv2

    return sum(len(cv2.imencode(".png", frame, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1]) for frame in values)


def packed_bytes(values: Sequence[NDArray[np.uint16]], codec: str, pixel_format: str, options: dict[str, str]) -> int:
    """Bytes of a lossless video whose blue is the low byte and whose green is the high one."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream(codec, rate=15, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixel_format
        stream.codec_context.thread_count = len(os.sched_getaffinity(0))
        for number, frame in enumerate(values):
            bgr = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
            bgr[..., 0], bgr[..., 1] = frame & 255, frame >> 8
            picture = av.VideoFrame.from_ndarray(bgr, format="bgr24")
            picture.pts, picture.time_base = number, Fraction(1, 15)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return len(file.getvalue())


def fastest(works: dict[str, Callable[[], float | int]]) -> dict[str, float]:
    """The fastest of a few tries of each, in turns. A work that returns a float says itself what it took."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(REPEATS):
        for name, work in works.items():
            start = time.perf_counter()
            said = work()
            times[name].append(said if isinstance(said, float) else time.perf_counter() - start)
    return {name: min(tries) for name, tries in times.items()}


def access_times(path: Path) -> NDArray[np.float64]:
    """[N] milliseconds to read frames at random, in metres: of each the fastest of a few tries."""
    took = np.empty((REPEATS, ACCESSES))
    with DepthVideoReader(path) as reader:
        numbers = np.random.default_rng(0).integers(0, len(reader), ACCESSES)
        for tries in took:
            for access, number in enumerate(numbers):
                start = time.perf_counter()
                reader[int(number)]
                tries[access] = 1e3 * (time.perf_counter() - start)
    return took.min(axis=0)


def measure(kind: str, maps: Sequence[NDArray[np.float32]], folder: Path) -> None:
    values = [np.rint(1000 * depth).astype(np.uint16) for depth in maps]
    path = folder / f"{kind}.mkv"
    took = fastest(
        {
            "ours": lambda: write_values(path, values),
            "metres": lambda: write_metres(path, maps),
            "png": lambda: png_bytes(values),
        }
    )
    sizes = {
        "PNG, 16 bits, level 1": png_bytes(values),
        "BGR in FFV1": packed_bytes(values, "ffv1", "bgr0", {"level": "3", "slices": "4", "g": "1"}),
        "BGR in H.264 RGB, lossless": packed_bytes(values, "libx264rgb", "bgr24", {"qp": "0", "preset": "ultrafast"}),
    }
    share = path.stat().st_size / RAW
    accesses = access_times(path)
    fast, twice = (" (goal 60)", " (goal 2)") if kind == "smooth" else ("", "")
    print(f"depth_video: {kind}, {FRAMES} frames of {WIDTH}x{HEIGHT}, {len(os.sched_getaffinity(0))} cores")
    print(f"  encoded at {FRAMES / took['ours']:.0f} frames/s{fast}, {took['png'] / took['ours']:.1f} x PNG{twice}")
    print(f"  from metres to finished files at {FRAMES / took['metres']:.0f} frames/s")
    print(f"  {share:.1%} of raw (goal {GOALS[kind]:.0%})")
    for name, size in sizes.items():
        print(f"  {name} is {size / RAW / share:.2f} x as large (goal above 1): {size / RAW:.1%} of raw")
    print(
        f"  any frame in {accesses.max():.1f} ms at most, {np.percentile(accesses, 95):.1f} ms at the 95th percentile,"
        f" of {ACCESSES} at random (goal 40)"
    )


def main() -> None:
    smooth = [terrain(number) for number in range(FRAMES)]
    with tempfile.TemporaryDirectory() as name:
        measure("smooth", smooth, Path(name))
        measure("speckled", [speckled(depth, number) for number, depth in enumerate(smooth)], Path(name))


if __name__ == "__main__":
    main()
