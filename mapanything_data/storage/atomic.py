"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_PREFIX = ".unfinished-"


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write a file under a temporary name in its folder, flush it to the disk, rename it.

    A kill at any moment leaves the old file, or none; a full disk leaves no half-written one.
    """
    with open_atomic(path) as file:
        file.write(data.encode() if isinstance(data, str) else data)


@contextmanager
def open_atomic(path: Path) -> Iterator[IO[bytes]]:
    """A binary file to write to, which takes the name `path` when the block ends without an error."""
    temporary = _temporary(path)
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which takes the name `path` when the block ends without an error.

    Raises:
        FileExistsError: `path` exists and is not an empty folder; nothing is lost or replaced.
    """
    temporary = _temporary(path)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _flush_to_disk(file)
        try:
            temporary.rename(path)
        except OSError as error:
            raise FileExistsError(error.errno, "the folder exists and is not empty", str(path)) from error
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def remove_unfinished(folder: Path, name: str = "*") -> None:
    """Remove temporary files that a kill left in `folder`, of all names or of one that nobody else writes to."""
    for leftover in folder.glob(f"{_PREFIX}*-{name}"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    return path.with_name(f"{_PREFIX}{os.getpid()}-{path.name}")


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
