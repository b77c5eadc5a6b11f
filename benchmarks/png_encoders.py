"""Which PNG encoder writes road video fastest, at the file size of `cv2.imwrite` with its defaults?

    python benchmarks/png_encoders.py

All numbers are ratios to OpenCV's defaults in the same run, on frames made here. Candidates that are not
installed are left out (`pip install pillow imagecodecs zlib-ng deflate fpng` for all). Every file is decoded
and compared with its frame before it is timed.

The frames are those of `road_video`.
"""

from __future__ import annotations

import io
import struct
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from typing import NamedTuple

import av
import cv2
import numpy as np
from road_video import HEIGHT, WIDTH, hevc_stream, road_frames

from mapanything_data.storage.png import encode_png, filter_up

REPEATS = 3

Encoder = Callable[[np.ndarray], bytes]


class Cost(NamedTuple):
    """What one frame costs: seconds to write on one thread, to read back with OpenCV, and bytes."""

    write: float
    read: float
    size: int


def main() -> None:
    """Print one line for each candidate."""
    cv2.setNumThreads(1)
    raw = road_frames(3)
    frames = {"HEVC": decoded(hevc_stream(raw))[-1], "sensor": raw[0]}
    baseline = {name: cost(opencv(), frame) for name, frame in frames.items()}
    hevc = baseline["HEVC"]
    baseline_on_two = seconds_on_two_threads(opencv(), frames["HEVC"])
    print(f"OpenCV's defaults, {WIDTH}x{HEIGHT} after HEVC: {1e3 * hevc.write:.0f} ms, {hevc.size / 1e6:.1f} MB")
    print("Ratios to it; HEVC: the frame as a replay decodes it, sensor: before the codec, with its noise\n")
    print(f"{'':34}{'speed of writing':^34}{'speed of':>10}{'file size':^20}")
    columns = ("HEVC", "sensor", "two threads", "reading", "HEVC", "sensor")
    print(f"{'':34}{columns[0]:>10}{columns[1]:>10}" + "".join(f"{name:>12}" for name in columns[2:]))
    for name, encode in candidates().items():
        costs = {kind: cost(encode, frame) for kind, frame in frames.items()}
        speed = {kind: baseline[kind].write / costs[kind].write for kind in frames}
        size = {kind: costs[kind].size / baseline[kind].size for kind in frames}
        on_two = baseline_on_two / seconds_on_two_threads(encode, frames["HEVC"])
        print(
            f"{name:34}{speed['HEVC']:10.2f}{speed['sensor']:10.2f}{on_two:12.2f}"
            f"{hevc.read / costs['HEVC'].read:12.2f}{size['HEVC']:12.3f}{size['sensor']:12.3f}",
            flush=True,
        )


def candidates() -> dict[str, Encoder]:
    """The encoders that are installed, by the name in the table."""
    strategy, rle, huffman = (
        cv2.IMWRITE_PNG_STRATEGY,
        cv2.IMWRITE_PNG_STRATEGY_RLE,
        cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY,
    )
    level = cv2.IMWRITE_PNG_COMPRESSION
    found: dict[str, Encoder] = {
        "OpenCV, defaults": opencv(),
        "OpenCV, level 1": opencv(level, 1),
        "OpenCV, level 3": opencv(level, 3),
        "OpenCV, Huffman only": opencv(level, 1, strategy, huffman),
    }
    if hasattr(cv2, "IMWRITE_PNG_FILTER"):  # not in older releases
        for name in ("UP", "AVG", "PAETH"):
            chosen = getattr(cv2, f"IMWRITE_PNG_FILTER_{name}")
            found[f"OpenCV, RLE, {name.title()}"] = opencv(level, 1, strategy, rle, cv2.IMWRITE_PNG_FILTER, chosen)
    found |= {"PyAV, Up": pyav("up"), "PyAV, Paeth": pyav("paeth")}
    with suppress(ImportError):
        from PIL import Image

        found["Pillow, level 1"] = lambda frame: pillow(Image.fromarray(frame), 1, zlib.Z_DEFAULT_STRATEGY)
        found["Pillow, level 1, RLE"] = lambda frame: pillow(Image.fromarray(frame), 1, zlib.Z_RLE)
    with suppress(ImportError):
        import imagecodecs

        up = imagecodecs.PNG.FILTER.UP
        found["imagecodecs png, RLE, Up"] = lambda frame: imagecodecs.png_encode(frame, 1, strategy=rle, filter=up)
        found["imagecodecs spng, level 1"] = lambda frame: imagecodecs.spng_encode(frame, 1)
    with suppress(ImportError):
        import fpng

        found["fpng"] = fpng.from_ndarray
    with suppress(ImportError):
        import deflate

        found["Up, libdeflate level 1"] = assembled(lambda rows: deflate.zlib_compress(rows, 1))
    with suppress(ImportError):
        from zlib_ng import zlib_ng

        found["Up, zlib-ng level 1"] = assembled(lambda rows: zlib_ng.compress(rows, 1))
        found["Up, zlib-ng RLE"] = assembled(
            lambda rows: deflated(zlib_ng.compressobj(1, strategy=zlib_ng.Z_RLE), rows)
        )
    from isal import isal_zlib

    found["Up, ISA-L, window 32 KiB"] = assembled(lambda rows: isal_zlib.compress(rows, 1))
    found["encode_png: Up, ISA-L, 512 B"] = encode_png
    return found


def opencv(*parameters: int) -> Encoder:
    """`cv2.imencode` of an RGB frame; imwrite adds only the writing of the file."""
    return lambda frame: cv2.imencode(".png", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), list(parameters))[1].tobytes()


def pyav(prediction: str) -> Encoder:
    """The PNG encoder of FFmpeg."""

    def encode(frame: np.ndarray) -> bytes:
        codec = av.CodecContext.create("png", "w")
        codec.height, codec.width = frame.shape[:2]
        codec.pix_fmt, codec.time_base, codec.thread_count = "rgb24", Fraction(1, 20), 1
        codec.options = {"pred": prediction, "compression_level": "1"}
        packets = codec.encode(av.VideoFrame.from_ndarray(frame, "rgb24")) + codec.encode(None)
        return b"".join(bytes(packet) for packet in packets)

    return encode


def pillow(picture, level: int, strategy: int) -> bytes:
    """The PNG encoder of Pillow."""
    file = io.BytesIO()
    picture.save(file, "png", compress_level=level, compress_type=strategy)
    return file.getvalue()


def assembled(compress: Callable[[np.ndarray], bytes]) -> Encoder:
    """Our own PNG, as `encode_png` makes it, with another compressor."""

    def encode(frame: np.ndarray) -> bytes:
        header = struct.pack(">IIBBBBB", frame.shape[1], frame.shape[0], 8, 2, 0, 0, 0)
        chunks = ((b"IHDR", header), (b"IDAT", bytes(compress(filter_up(frame)))), (b"IEND", b""))
        parts = [b"\x89PNG\r\n\x1a\n"]
        for kind, content in chunks:
            checksum = zlib.crc32(content, zlib.crc32(kind))
            parts += [struct.pack(">I", len(content)), kind, content, struct.pack(">I", checksum)]
        return b"".join(parts)

    return encode


def deflated(compressor, rows: np.ndarray) -> bytes:
    """All that `compressor` makes of `rows`."""
    return compressor.compress(rows) + compressor.flush()


def cost(encode: Encoder, frame: np.ndarray) -> Cost:
    """The least of a few timings; other programs can only add to one."""
    file = np.frombuffer(encode(frame), np.uint8)
    if not np.array_equal(cv2.cvtColor(cv2.imdecode(file, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB), frame):
        raise AssertionError("the encoder changed the picture")
    return Cost(
        write=min(seconds(lambda: encode(frame)) for _ in range(REPEATS)),
        read=min(seconds(lambda: cv2.imdecode(file, cv2.IMREAD_COLOR)) for _ in range(REPEATS)),
        size=file.size,
    )


def seconds_on_two_threads(encode: Encoder, frame: np.ndarray) -> float:
    """Seconds a frame when two threads write; half of one thread's where the encoder releases the GIL."""

    def both() -> None:
        threads = [threading.Thread(target=encode, args=(frame,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return min(seconds(both) for _ in range(REPEATS)) / 2


def decoded(stream: bytes) -> list[np.ndarray]:
    """The frames of a recording in memory."""
    with av.open(io.BytesIO(stream)) as recording:
        return [frame.to_ndarray(format="rgb24") for frame in recording.decode(video=0)]


def seconds(action: Callable[[], object]) -> float:
    """How long `action` takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
