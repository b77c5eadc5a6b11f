"""Checkpoint files that appear whole or not at all, and know whether they still are what was written.

A checkpoint is a file of `torch.save`, which is a ZIP archive. Its archive comment is "sha256:" and the SHA-256 of all
bytes before the comment's length, so one file holds both and plain torch reads it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import pickle
import zipfile
from pathlib import Path
from typing import IO, Any

import torch

from mapanything_data.errors import DataError
from mapanything_data.storage.atomic import open_atomic

_LABEL = b"sha256:"
_COMMENT_BYTES = len(_LABEL) + 64
_CHUNK = 16 << 20


def write_checkpoint(path: Path, state: dict[str, Any], *, predecessor: Path | None = None) -> None:
    """Write a checkpoint, flushed to the disk before it takes its name.

    Args:
        path: A kill at any moment leaves the file that was there.
        state: Tensors and plain Python values.
        predecessor: The name that the file at `path` takes, if there is one; between the two renames, `predecessor` is
            there and `path` is not.

    Raises:
        DataError: The disk refuses; what was there stays.
    """
    try:
        for leftover in path.parent.glob(f".unfinished-*-{path.name}"):
            leftover.unlink(missing_ok=True)
        with open_atomic(path) as file:
            sealed = _Sealing(file)
            torch.save(state, sealed)
            sealed.seal()
            file.flush()
            os.fsync(file.fileno())
            if predecessor is not None and path.exists():
                path.replace(predecessor)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise DataError(
            path,
            f"cannot be written: {os.strerror(error.errno) if error.errno else error}",
            remedy="make room on the disk, then resume" if full else "make the folder writable, then resume",
        ) from error


def read_checkpoint(path: Path, map_location: str | torch.device = "cpu", *, verify: bool = True) -> dict[str, Any]:
    """Read a checkpoint, ours or another's file of `torch.save`; never runs code that a file holds.

    Args:
        path: The file. One without a digest (see `has_digest`) is read without a check.
        map_location: The device for its tensors.
        verify: Whether to read all bytes and compare their digest.

    Raises:
        DataError: It is damaged, is no checkpoint, or holds other Python objects than plain values and tensors.
    """
    if verify and has_digest(path):
        _verify(path)
    try:
        state = torch.load(path, map_location=map_location, weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise DataError(path, f"holds pickled objects: {error}", remedy="convert it") from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise DataError(path, f"no checkpoint: {error}", remedy="remove it") from error
    if not isinstance(state, dict):
        raise DataError(path, f"holds a {type(state).__name__}", expected="a mapping", remedy="choose another file")
    return state


def has_digest(path: Path) -> bool:
    """Whether the file ends with a digest, as `write_checkpoint` leaves it."""
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - _COMMENT_BYTES))
        return file.read().startswith(_LABEL)


def _verify(path: Path) -> None:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        left = path.stat().st_size - _COMMENT_BYTES - 2
        while left > 0 and (chunk := file.read(min(_CHUNK, left))):
            digest.update(chunk)
            left -= len(chunk)
        file.seek(2 + len(_LABEL), os.SEEK_CUR)
        if file.read().decode("ascii", "replace") != digest.hexdigest():
            raise DataError(path, "damaged: its digest differs", remedy="resume from another checkpoint")


class _Sealing:
    """A file for `torch.save` that hashes what passes, but for the last two bytes: the length of the comment."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._tail = b""

    def write(self, data: bytes) -> int:
        view = memoryview(data).cast("B")
        self._file.write(view)
        if len(view) < 2:
            joined = self._tail + bytes(view)
            self._digest.update(joined[:-2])
            self._tail = joined[-2:]
        else:
            self._digest.update(self._tail)
            self._digest.update(view[:-2])
            self._tail = bytes(view[-2:])
        return len(view)

    def flush(self) -> None:
        self._file.flush()

    def seal(self) -> None:
        assert self._tail == b"\0\0", "torch.save wrote a ZIP archive with a comment of its own"
        comment = _LABEL + self._digest.hexdigest().encode()
        self._file.seek(-2, os.SEEK_END)
        self._file.write(len(comment).to_bytes(2, "little") + comment)
