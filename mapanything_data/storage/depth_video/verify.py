"""Finds out whether a depth video is the one that was written."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mapanything_data.errors import DataError
from mapanything_data.storage.depth_video.meta import sha256_of
from mapanything_data.storage.depth_video.reader import DepthVideoReader


def verify_depth_video(path: Path) -> list[str]:
    """Decode all of a depth video and hold it against its meta and its checksums.

    Args:
        path: The video; its meta lies beside it.

    Returns:
        What is wrong, in words for people; empty where the video is sound.
    """
    try:
        with DepthVideoReader(path) as reader:
            return _problems(reader)
    except DataError as error:
        return [_in_one_line(error, path)]


def _problems(reader: DepthVideoReader) -> list[str]:
    problems = []
    if sha256_of(reader.path) != reader.meta.sha256:
        problems.append("its checksum (sha256) is not the one that its meta says")
    invalid, whole = 0, 0
    for number in range(len(reader)):
        try:
            values = reader.raw(number)
        except DataError as error:
            problems.append(_in_one_line(error, reader.path))
        else:
            invalid += values.size - int(np.count_nonzero(values))
            whole += 1
    if reader.has_more():
        problems.append(f"it goes on after frame {len(reader) - 1}, the last one of its meta")
    if whole == len(reader) and invalid != reader.meta.counts.invalid:
        problems.append(f"{invalid} pixels are invalid, its meta says {reader.meta.counts.invalid}")
    return problems


def _in_one_line(error: DataError, path: Path) -> str:
    where = "" if error.where == str(path) else f"{Path(error.where).name} "
    return f"{where}{error.found}" + (f", expected {error.expected}" if error.expected else "")
