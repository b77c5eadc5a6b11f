"""Checkpoint files that appear whole or not at all, and that know whether they are still what was written.

A checkpoint is a file of `torch.save`, which is a ZIP archive. The archive's comment is "sha256:" and the SHA-256 of
all bytes before the comment's length. So one file holds both, and plain torch reads it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import pickle
import re
from pathlib import Path
from typing import IO, Any

import torch

from mapanything_data.errors import DataError
from mapanything_data.storage.atomic import open_atomic

_LABEL = b"sha256:"
_END_RECORD = b"PK\5\6"
_END_RECORD_BYTES = 22
"""The record that ends a ZIP archive; its last two bytes are the length of the comment, which follows."""
_LONGEST_COMMENT = 65535
_CHUNK_BYTES = 16 << 20
_OTHER = "choose another file, or write this one again with torch.save(state_dict, path)"
_DAMAGED = "take another checkpoint of the run: checkpoint-previous.pth, or one that keep_freq kept"


def write_checkpoint(path: Path, state: dict[str, Any], *, predecessor: Path | None = None) -> None:
    """Write a checkpoint, which takes its name when it is whole and on the disk.

    Args:
        path: The file. A kill at any moment leaves the one that was there.
        state: Tensors and plain Python values.
        predecessor: The name that the file that was there takes. For a moment it has its new name and `path` is not
            there, but at no moment are both missing.

    Raises:
        DataError: The disk refuses. The file that was there stays.
    """
    try:
        for leftover in path.parent.glob(f".unfinished-*-{path.name}"):  # of a kill: as large as a checkpoint
            leftover.unlink(missing_ok=True)
        with open_atomic(path) as file:
            sealed = _SealedFile(file)
            torch.save(state, sealed)  # type: ignore[arg-type]  # it needs no more of a file than write and flush
            sealed.seal()
            if predecessor is not None and path.exists():
                file.flush()
                os.fsync(file.fileno())
                path.replace(predecessor)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise DataError(
            path,
            f"cannot be written: {(error.strerror or str(error)).lower()}",
            expected="a folder that can be written to, with room for one checkpoint more than it holds",
            remedy="make room on its disk, then start again: the run goes on from its last checkpoint"
            if full
            else "see that the folder is there and may be written to",
        ) from error


def read_checkpoint(path: Path, map_location: str | torch.device = "cpu", *, verify: bool = True) -> dict[str, Any]:
    """Read a checkpoint, ours or another's file of `torch.save`; code that a file holds never runs.

    Args:
        path: The file.
        map_location: The device for its tensors. On the CPU they are views of the file, read when they are used.
        verify: Whether to read all bytes and compare their digest. A file without one is read without (`has_digest`).

    Raises:
        DataError: It is damaged, is no checkpoint, or holds other Python objects than tensors and plain values.
    """
    try:
        if _is_archive(path):
            if verify and has_digest(path):
                _verify(path)
            state = torch.load(path, map_location=map_location, weights_only=True, mmap=True)
        else:
            state = torch.load(path, map_location=map_location, weights_only=True)  # torch below 1.6
    except pickle.UnpicklingError as error:
        raise _unpickled(path, str(error)) from error
    except OSError as error:
        raise DataError(
            path, f"cannot be read: {(error.strerror or str(error)).lower()}", remedy="see that the path is right"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        # What torch raises depends on where in the file it stumbles.
        first_line = (str(error) or type(error).__name__).partition("\n")[0]
        raise DataError(path, f"no checkpoint: {first_line}", expected="a file of torch.save", remedy=_OTHER) from error
    if not isinstance(state, dict):
        found = f"holds a {type(state).__name__}"
        raise DataError(path, found, expected="a mapping, such as {'model': state_dict}", remedy=_OTHER)
    return state


def has_digest(path: Path) -> bool:
    """Whether a checkpoint says the digest of its bytes, as ours do.

    Raises:
        DataError: What stands at its end has been changed, or some of it is missing.
    """
    comment = _comment(path)
    if comment and not re.fullmatch(rb"sha256:[0-9a-f]{64}", comment):
        raise _damage(path, "its digest is unreadable")
    return bool(comment)


def _is_archive(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PK\3\4"


def _comment(path: Path) -> bytes:
    """The comment of a ZIP archive: all that follows the last record."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _END_RECORD_BYTES - _LONGEST_COMMENT))
        end = file.read()
    start = end.rfind(_END_RECORD)
    record, comment = end[start : start + _END_RECORD_BYTES], end[start + _END_RECORD_BYTES :]
    if start < 0 or len(record) < _END_RECORD_BYTES or int.from_bytes(record[-2:], "little") != len(comment):
        raise _damage(path, f"its end is missing after {size} bytes")
    return comment


def _verify(path: Path) -> None:
    digest = hashlib.sha256()
    written = _comment(path).removeprefix(_LABEL)
    left = path.stat().st_size - len(_LABEL) - len(written) - 2
    with path.open("rb") as file:
        while left and (chunk := file.read(min(_CHUNK_BYTES, left))):
            digest.update(chunk)
            left -= len(chunk)
    if digest.hexdigest().encode() != written:
        raise _damage(path, "its bytes are not those that were written (SHA-256 differs)")


def _damage(path: Path, found: str) -> DataError:
    return DataError(path, f"damaged: {found}", expected="a whole file of torch.save", remedy=_DAMAGED)


def _unpickled(path: Path, error: str) -> DataError:
    refused = re.search(r"GLOBAL (\S+)|Unsupported (?:class|global) (\S+)", error)
    if refused is None:
        return DataError(path, "no checkpoint", expected="a file of torch.save", remedy=_OTHER)
    return DataError(
        path,
        f"holds Python objects ({refused[1] or refused[2]}), which may run code when they are read",
        expected="tensors and plain values",
        remedy="where you trust it, write torch.load(path, weights_only=False)['model'] to a new file with torch.save",
    )


class _SealedFile:
    """A file for `torch.save`, which writes from front to back: hashes what passes, all but the comment's length.

    It never raises in `write`, since torch's writer, which is called back from C++, loses the error: `seal` does.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._tail = b""
        self._error: BaseException | None = None

    def write(self, data: bytes) -> int:
        view = memoryview(data).cast("B")
        try:
            if self._error is None:
                self._file.write(view)
                self._hash(view)
        except BaseException as error:  # noqa: BLE001 - seal raises it
            self._error = error
        return len(view)

    def flush(self) -> None:
        """Nothing: what the disk refuses then would be lost, too."""

    def seal(self) -> None:
        if self._error is not None:
            raise self._error
        assert self._tail == b"\0\0", "torch.save wrote no ZIP archive without a comment"
        comment = _LABEL + self._digest.hexdigest().encode()
        self._file.seek(-2, os.SEEK_END)
        self._file.write(len(comment).to_bytes(2, "little") + comment)

    def _hash(self, view: memoryview) -> None:
        if len(view) < 2:
            held = self._tail + bytes(view)
            self._digest.update(held[:-2])
            self._tail = held[-2:]
        else:
            self._digest.update(self._tail)
            self._digest.update(view[:-2])
            self._tail = bytes(view[-2:])
