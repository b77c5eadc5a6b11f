"""Writes depth maps as a lossless video that appears whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mapanything_data.errors import DataError, require
from mapanything_data.scene import Camera
from mapanything_data.storage.atomic import open_atomic, remove_unfinished
from mapanything_data.storage.depth_video.meta import (
    CODEC,
    PIXEL_FORMAT,
    TICKS,
    DepthMeta,
    meta_path,
    sha256_of,
    ticks_of_frame,
    write_depth_meta,
)
from mapanything_data.storage.depth_video.quantise import MILLIMETRE, DepthCounts, Quantiser
from mapanything_data.storage.provenance import software_versions

FASTEST = float(TICKS)
"""Frames per second, above which a video cannot tell its frames apart."""
_SLICES = 4
# Of FFV1's two tables of probabilities the default one makes smooth depth 4 % smaller; noise costs 1 %.
_OPTIONS = {"level": "3", "slices": f"{_SLICES}", "slicecrc": "1", "coder": "range_def"}


class DepthVideoWriter:
    """Writes `depth.mkv` and `depth_meta.json`: FFV1 level 3, gray16le, every frame a keyframe of 4 checked slices.

    The video takes its name last, when its meta stands beside it: where there is a depth.mkv, the pair is complete.
    A kill, an error or a full disk leaves neither a part of a video nor a video without meta; a meta without a video
    stands for nothing, and the next writer replaces it. Only one writer may write to a path at a time.

    Args:
        path: The video, such as `.../depth.mkv`; one that is there is replaced when the new one is complete.
        width: Pixels, at least 2, since the 4 slices are 2 x 2.
        height: Pixels, at least 2.
        fps: Frames per second at which it plays, up to 1000; frame i is shown i / fps seconds after the first.
        scale: Metres that one unit stands for.
        timestamps: Seconds at which frame 0, 1, ... was taken; those beyond the last frame written are left out.
            By default i / fps.
        camera: Intrinsics that fit the depth maps.
        method: How depth is computed, such as `sgbm, block 5`.
        provenance: What made it; versions of software are added.
        scratch: Folder on a fast local disk to write to first, the result being copied out; empty writes in place.
        threads: Threads that encode, at most 4; 0 takes the cores that are allowed.

    Raises:
        ValueError: A number makes no sense.
        MissingDependencyError: PyAV is not installed.
    """

    def __init__(
        self,
        path: Path,
        width: int,
        height: int,
        fps: float,
        *,
        scale: float = MILLIMETRE,
        timestamps: Sequence[float] | NDArray[np.float64] | None = None,
        camera: Camera | None = None,
        method: str = "",
        provenance: Mapping[str, Any] | None = None,
        scratch: str | Path = "",
        threads: int = 0,
    ) -> None:
        if not (width > 1 and height > 1 and 0 < fps <= FASTEST and 0 < scale < float("inf") and threads >= 0):
            raise ValueError(
                f"no video is {width}x{height} at {fps} frames/s in units of {scale} m on {threads} threads"
            )
        if camera and (camera.width, camera.height) != (width, height):
            raise ValueError(f"a camera of {camera.width}x{camera.height} does not fit depth of {width}x{height}")
        require("av")
        self.path = Path(path)
        self.frame_count = 0
        self._width, self._height, self._fps, self._scale = width, height, float(fps), float(scale)
        self._timestamps = None if timestamps is None else [float(time) for time in timestamps]
        self._camera, self._method, self._provenance = camera, method, dict(provenance or {})
        self._scratch = Path(scratch).expanduser() if str(scratch) else None
        self._place = self._scratch or self.path.parent
        self._threads = min(threads or len(os.sched_getaffinity(0)), _SLICES)
        self._quantiser = Quantiser(height, width, scale)

    @property
    def counts(self) -> DepthCounts:
        """What became of the pixels written so far."""
        return self._quantiser.counts

    def __enter__(self) -> DepthVideoWriter:
        with self._told(self._place), ExitStack() as opened:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            for name in (self.path.name, meta_path(self.path).name):
                remove_unfinished(self.path.parent, name)
            self._file = opened.enter_context(self._new_file())
            self._container, self._stream = self._new_container()
            opened.callback(self._close_container)
            self._opened = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._told(self._place):  # closing a file writes what it still holds
            if error is None:
                with self._opened:
                    self._finish()
            else:
                self._opened.__exit__(kind, error, trace)

    def write(self, depth: NDArray[Any]) -> None:
        """Add a depth map, rounded to the nearest unit.

        Args:
            depth: [H, W] floats, metres. What is 0, negative, NaN or infinite has no depth and becomes 0. See
                `DepthCounts` for what is too far and too near.

        Raises:
            ValueError: It has another shape or no floats, or there is no time stamp for it.
            OSError: It cannot be written; `filename` is the folder whose disk refused.
        """
        self._require_map(depth, np.floating)
        frame, values = self._new_frame()
        self._quantiser.quantise(depth, values)
        self._encode(frame)

    def write_raw(self, values: NDArray[np.uint16]) -> None:
        """Add a depth map that is in units already: [H, W] uint16, 0 invalid; raises as `write`."""
        self._require_map(values, np.uint16)
        frame, stored = self._new_frame()
        stored[:] = values
        self.counts.pixels += values.size
        self.counts.invalid += values.size - int(np.count_nonzero(values))
        self._encode(frame)

    def write_lost(self) -> None:
        """Add a frame of which nothing is known: all its pixels are 0, and it is counted."""
        self.write_raw(np.zeros((self._height, self._width), np.uint16))
        self.counts.lost_frames += 1

    def _require_map(self, depth: NDArray[Any], kind: type) -> None:
        if depth.shape != (self._height, self._width) or not np.issubdtype(depth.dtype, kind):
            expected = f"[{self._height}, {self._width}] {kind.__name__}"
            raise ValueError(f"depth is {list(depth.shape)} {depth.dtype}, expected {expected}")
        if self._timestamps is not None and self.frame_count >= len(self._timestamps):
            raise ValueError(f"frame {self.frame_count} has no time stamp: {len(self._timestamps)} were given")

    def _new_frame(self) -> tuple[Any, NDArray[np.uint16]]:
        """A picture of the encoder and its memory, [H, W], so that values need not be copied into it."""
        from av import VideoFrame

        frame = VideoFrame(self._width, self._height, PIXEL_FORMAT)
        frame.pts = ticks_of_frame(self.frame_count, self._fps)
        frame.time_base = Fraction(1, TICKS)
        plane = frame.planes[0]
        row = plane.line_size // 2
        values: NDArray[np.uint16] = np.frombuffer(plane, "<u2", count=self._height * row).reshape(self._height, row)
        return frame, values[:, : self._width]

    def _encode(self, frame: Any) -> None:
        with self._told(self._place):
            self._container.mux(self._stream.encode(frame))
        self.frame_count += frame is not None

    def _finish(self) -> None:
        if not self.frame_count:
            raise DataError(self.path, "no frame was written to it", remedy="leave out a recording without frames")
        self._encode(None)
        with self._told(self._place):
            self._container.close()
            self._file.flush()
        with self._told(self.path.parent):
            if self._scratch is None:
                self._describe(self._file)
                return
            with open_atomic(self.path) as copy:
                self._file.seek(0)
                shutil.copyfileobj(self._file, copy, 1 << 24)
                self._describe(copy)

    def _close_container(self) -> None:
        from av import FFmpegError

        with suppress(OSError, FFmpegError):  # the end of the file is written here, which a full disk refuses again
            self._container.close()

    def _describe(self, video: IO[bytes]) -> None:
        """Write the meta of a video that is about to take its name."""
        video.flush()
        os.fsync(video.fileno())
        times = self._timestamps or [number / self._fps for number in range(self.frame_count)]
        unnamed = Path(video.name)
        meta = DepthMeta(
            width=self._width,
            height=self._height,
            fps=self._fps,
            scale=self._scale,
            timestamps=times[: self.frame_count],
            counts=self.counts,
            method=self._method,
            camera=self._camera,
            provenance={**self._provenance, "software": software_versions()},
            bytes=unnamed.stat().st_size,
            sha256=sha256_of(unnamed),
        )
        self.path.unlink(missing_ok=True)  # or a kill would leave the old video with the new meta
        write_depth_meta(meta_path(self.path), meta)

    def _new_file(self) -> Any:
        # A file without a name in scratch: whatever ends this process, the system takes it away.
        return tempfile.TemporaryFile(dir=self._scratch) if self._scratch else open_atomic(self.path)

    def _new_container(self) -> tuple[Any, Any]:
        import av

        # Without it, the file would hold a random number, and the same depth would give another file each time.
        container = av.open(self._file, "w", format="matroska", options={"fflags": "+bitexact"})
        stream = container.add_stream(CODEC, rate=Fraction(self._fps).limit_denominator(1 << 16), options=_OPTIONS)
        stream.width, stream.height, stream.pix_fmt = self._width, self._height, PIXEL_FORMAT
        coder = stream.codec_context
        coder.gop_size = 1
        coder.time_base = Fraction(1, TICKS)
        coder.thread_count, coder.thread_type = self._threads, "SLICE"
        return container, stream

    @contextmanager
    def _told(self, folder: Path) -> Iterator[None]:
        from av import FFmpegError

        try:
            yield
        except (OSError, FFmpegError) as error:
            if not isinstance(error, FFmpegError) and error.filename:
                raise  # it says where already
            # PyAV wraps what our file raised. An engine must know a full disk, which stops more than this video.
            refusal = error.__cause__ if isinstance(error.__cause__, OSError) else error
            number = refusal.errno if isinstance(refusal, OSError) and refusal.errno else errno.EIO
            raise OSError(number, getattr(refusal, "strerror", None) or str(refusal), str(folder)) from error
