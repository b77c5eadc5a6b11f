"""Reads single depth maps, or all of them, from a depth video."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapanything_data.errors import DataError, require
from mapanything_data.storage.depth_video.meta import (
    CODEC,
    PIXEL_FORMAT,
    REMEDY,
    DepthMeta,
    meta_path,
    read_depth_meta,
    ticks_of_frame,
)
from mapanything_data.storage.depth_video.quantise import metres_of_values
from mapanything_data.storage.depth_video.slices import damaged_slices


class DepthVideoReader:
    """The depth maps of a video by number: `reader[i]`, or in their order: `for depth in reader`.

    Args:
        path: The video; its meta lies beside it.
        threads: Threads that decode, at most 4; 0 takes the cores that are allowed.

    Raises:
        DataError: The video or its meta is missing, damaged, or they do not fit each other.
        MissingDependencyError: PyAV is not installed.
    """

    def __init__(self, path: Path, *, threads: int = 0) -> None:
        require("av")
        import av

        self.path = Path(path)
        self.meta: DepthMeta = read_depth_meta(meta_path(self.path))
        """Everything that depth_meta.json says."""
        self._require_size_of_file()
        self._metres = metres_of_values(self.meta.scale)
        try:
            self._container = av.open(str(self.path))
        except (av.FFmpegError, OSError) as error:
            raise _unreadable(self.path, error) from error
        try:
            self._stream = self._require_stream(threads)
        except BaseException:
            self._container.close()
            raise
        self._packets: Iterator[Any] = self._container.demux(self._stream)
        self._next = 0  # the frame that `_packets` gives next

    def __enter__(self) -> DepthVideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; nothing can be read afterwards."""
        self._container.close()

    @property
    def fps(self) -> float:
        """Frames per second at which it plays."""
        return self.meta.fps

    @property
    def timestamps(self) -> NDArray[np.float64]:
        """[N] seconds: when each frame was taken."""
        return np.array(self.meta.timestamps, np.float64)

    def __len__(self) -> int:
        return self.meta.frame_count

    def __getitem__(self, index: int) -> NDArray[np.float32]:
        """[H, W] float32, metres, 0 where invalid; raises as `raw`."""
        return np.take(self._metres, self.raw(index))

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        for number in range(len(self)):
            yield self[number]

    def raw(self, index: int) -> NDArray[np.uint16]:
        """A frame in the units of the file: [H, W] uint16, 0 where invalid; a negative index counts from the end.

        Raises:
            IndexError: There is no such frame.
            DataError: It is missing or damaged.
        """
        import av

        number = range(len(self))[operator.index(index)]
        try:
            packet = self._packet(number)
            damaged = damaged_slices(bytes(packet))
            if damaged:
                raise DataError(
                    self.path, f"frame {number} is damaged: {len(damaged)} slices have wrong checksums", remedy=REMEDY
                )
            (picture,) = packet.decode()
        except (av.FFmpegError, OSError, ValueError) as error:
            self._next = -1
            raise _unreadable(self.path, error, f"frame {number} ") from error
        values: NDArray[np.uint16] = picture.to_ndarray()
        if values.shape != (self.meta.height, self.meta.width) or picture.format.name != PIXEL_FORMAT:
            raise DataError(self.path, f"frame {number} is {list(values.shape)} {picture.format.name}", remedy=REMEDY)
        return values

    def has_more(self) -> bool:
        """Whether frames follow the last one that the meta knows; to be asked after that one was read."""
        return any(packet.size for packet in self._packets)

    def _packet(self, number: int) -> Any:
        """The packet of a frame. Every frame is a keyframe with an entry in the file's index, so seeking finds it."""
        wanted = ticks_of_frame(number, self.meta.fps)
        if number != self._next:
            self._container.seek(wanted, stream=self._stream, backward=True)
            self._packets = self._container.demux(self._stream)
        self._next = -1
        for packet in self._packets:
            if packet.pts == wanted and packet.size:
                self._next = number + 1
                return packet
            if packet.pts is None or packet.pts > wanted:
                break
        raise DataError(self.path, f"frame {number} is missing in the video", remedy=REMEDY)

    def _require_size_of_file(self) -> None:
        try:
            size = self.path.stat().st_size
        except OSError as error:
            raise _unreadable(self.path, error) from error
        if size != self.meta.bytes:
            raise DataError(
                self.path, f"is of {size} bytes", expected=f"{self.meta.bytes}, as its meta says", remedy=REMEDY
            )

    def _require_stream(self, threads: int) -> Any:
        meta = self.meta
        for stream in self._container.streams.video:
            coder = stream.codec_context
            found = (coder.name, coder.pix_fmt, coder.width, coder.height) if coder else ()
            if found != (CODEC, PIXEL_FORMAT, meta.width, meta.height):
                expected = f"{CODEC} {PIXEL_FORMAT} {meta.width}x{meta.height}"
                raise DataError(self.path, f"holds {found}", expected=expected, remedy=REMEDY)
            # Frame threads would hold pictures back; one that is asked for must come at once.
            coder.thread_count, coder.thread_type = min(threads or len(os.sched_getaffinity(0)), 4), "SLICE"
            return stream
        raise DataError(self.path, "holds no video", remedy=REMEDY)


def _unreadable(path: Path, error: Exception, what: str = "") -> DataError:
    return DataError(path, f"{what}cannot be read ({getattr(error, 'strerror', None) or error})", remedy=REMEDY)
