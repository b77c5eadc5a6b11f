"""Single pictures of a video that pictures a robot's steps; whole videos are read by the sources."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapanything_data.errors import DataError, require

_REMEDY = "restore the recording, or do without it"


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height of a video's pictures, pixels, as its header says.

    Raises:
        DataError: It cannot be read, or holds no video.
        MissingDependencyError: PyAV is not installed.
    """
    with _open(path) as (_, stream):
        return stream.codec_context.width, stream.codec_context.height


def read_picture(path: Path, number: int) -> NDArray[np.uint8]:
    """One picture of a video, counted from 0: [H, W, 3] uint8 RGB.

    All pictures before it are decoded: the recordings have few keyframes, and some have none but the first.

    Raises:
        DataError: It cannot be read, or has fewer pictures.
        MissingDependencyError: PyAV is not installed.
    """
    import av

    with _open(path) as (container, stream):
        stream.thread_type = "AUTO"
        try:
            for count, picture in enumerate(container.decode(stream)):
                if count == number:
                    image: NDArray[np.uint8] = picture.to_ndarray(format="rgb24")
                    return image
        except (av.FFmpegError, OSError) as error:
            raise DataError(path, f"is damaged before picture {number} ({error})", remedy=_REMEDY) from error
    raise DataError(path, f"has no picture {number}", remedy=_REMEDY)


@contextmanager
def _open(path: Path) -> Iterator[tuple[Any, Any]]:
    require("av")
    import av

    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        raise DataError(path, f"is no readable video ({error})", remedy=_REMEDY) from error
    with container:
        if not container.streams.video:
            raise DataError(path, "holds no video", remedy=_REMEDY)
        yield container, container.streams.video[0]
