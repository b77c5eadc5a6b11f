"""Encodes pictures on all cores and writes them atomically, while the caller makes the next ones."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

from numpy.typing import NDArray

from mapanything_data.storage.atomic import write_atomic
from mapanything_data.storage.png import encode_png

_WRITERS = 2
"""Two threads, so that one can wait for the disk while the other hands it the next file."""


class PictureWriter:
    """Writes PNG files in the background; memory is bounded by a few pictures.

    `put` blocks while `threads + 2` pictures are under way. An error of the background is raised by the next `put` or
    at the end of the `with` block; after an error, or when the block raises, waiting pictures are dropped and no file
    is left half-written.
    """

    def __init__(self, threads: int) -> None:
        self._encoders = ThreadPoolExecutor(threads, thread_name_prefix="encode")
        self._writers = ThreadPoolExecutor(_WRITERS, thread_name_prefix="write")
        self._places = threading.BoundedSemaphore(threads + _WRITERS)
        self._failure: BaseException | None = None
        self._dropping = False
        self._counting = threading.Lock()
        self.bytes = 0

    def __enter__(self) -> PictureWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._dropping = error is not None
        self._encoders.shutdown(wait=True, cancel_futures=self._dropping)
        self._writers.shutdown(wait=True, cancel_futures=self._dropping)
        if error is None:
            self._raise_failure()

    def put(self, path: Path, image: NDArray[Any]) -> None:
        """Write `image` ([H,W,3] uint8 RGB) to `path` some time soon; the array must not be changed afterwards.

        Raises:
            OSError: An earlier picture could not be written.
        """
        self._places.acquire()
        try:
            self._raise_failure()
        except BaseException:
            self._places.release()
            raise
        self._encoders.submit(self._encode, path, image)

    def _encode(self, path: Path, image: NDArray[Any]) -> None:
        try:
            data = b"" if self._dropping else encode_png(image)
            self._writers.submit(self._write, path, data)
        except BaseException as failure:  # noqa: BLE001 - it is raised again where the caller sees it
            self._fail(failure)
            self._places.release()

    def _write(self, path: Path, data: bytes) -> None:
        try:
            if not self._dropping:
                write_atomic(path, data)
                with self._counting:
                    self.bytes += len(data)
        except BaseException as failure:  # noqa: BLE001 - it is raised again where the caller sees it
            self._fail(failure)
        finally:
            self._places.release()

    def _fail(self, failure: BaseException) -> None:
        self._failure = failure
        self._dropping = True

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
