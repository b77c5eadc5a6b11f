"""YAML as data: mappings, lists, text and numbers, without tags, anchors or depth that only an attack needs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from mapanything_data.errors import DataError
from mapanything_data.storage.reading import read_bytes, told_as_data_error

# The C loader takes a tenth of the time; wheels of PyYAML have it, other builds may not.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

_MAX_BYTES = 32_000_000
"""An OPV2V frame has some 20 kB. A parsed file takes up to a hundred times its size in memory."""
_MAX_DEPTH = 64
"""The loaders recurse, and the one in C ends the process where the stack does."""

_LINE_START = re.compile(rb"^[ \t?:-]+", re.MULTILINE)


def read_plain_yaml(path: Path, without: Sequence[str] = ()) -> Any:
    """The content of a YAML file.

    Args:
        path: The file.
        without: Keys of the outermost mapping that are passed over where their values stand in lines of their own.
            Parsing takes most of the time of reading, so what is long and not needed is worth naming.

    Raises:
        DataError: It cannot be read, is too large, no UTF-8, no YAML, nested too deeply, or uses tags, anchors or
            aliases.
    """
    with told_as_data_error(path):
        size = path.stat().st_size
    if size > _MAX_BYTES:
        raise _refused(path, f"has {size} bytes", f"at most {_MAX_BYTES}")
    data = read_bytes(path)
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _refused(path, f"is no UTF-8 text ({error.reason} at byte {error.start})") from None
    for key in without:
        data = _cut(data, key)
    if _may_nest_deeper(data):
        raise _refused(path, "is nested too deeply", f"at most {_MAX_DEPTH} levels")
    try:
        # Anchors need one of these characters; looking for them event by event takes as long as loading.
        if b"&" in data or b"*" in data:
            _refuse_anchors(path, data)
        return yaml.load(data, Loader=_Loader)  # noqa: S506 - one of the two safe loaders
    except yaml.YAMLError as error:
        raise _refused(path, f"is no plain YAML ({_told(error)})") from None
    except (ValueError, OverflowError, RecursionError) as error:  # such as a date of month 13
        raise _refused(path, f"holds a value that is none ({error})") from None


def dump_plain_yaml(content: Any) -> str:
    """YAML of mappings, lists, text and numbers; lists of numbers stand on one line."""
    text: str = yaml.dump(content, Dumper=_Dumper, default_flow_style=None, sort_keys=False, width=10_000)
    return text


def _cut(data: bytes, key: str) -> bytes:
    """The text without a key of the outermost mapping; its value is what follows in indented lines or list items."""
    return re.sub(
        rb"^%s:[ \t]*\r?\n(?:(?:[ \t]|-[ \t]).*(?:\n|\Z)|\r?\n)*" % key.encode(), b"", data, flags=re.MULTILINE
    )


def _refuse_anchors(path: Path, data: bytes) -> None:
    for event in yaml.parse(data, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            line = f" in line {event.start_mark.line + 1}" if event.start_mark else ""
            raise _refused(path, f"has an anchor or alias{line}", "plain values")


def _may_nest_deeper(data: bytes) -> bool:
    """Whether brackets or the starts of lines allow more than `_MAX_DEPTH` levels; true for no sensible file.

    Every level of a flow needs an opening bracket before its closing one; every level of a block needs a column of the
    line that it starts in.
    """
    if max((len(start) for start in _LINE_START.findall(data)), default=0) > 2 * _MAX_DEPTH:
        return True
    if data.count(b"[") + data.count(b"{") <= _MAX_DEPTH:
        return False
    depth = deepest = 0
    for bracket in re.findall(rb"[][{}]", data):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest > _MAX_DEPTH


def _told(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
    return f"{problem} in line {mark.line + 1}" if mark else str(problem)


def _refused(path: Path, found: str, expected: str | None = None) -> DataError:
    return DataError(
        path, found, expected=expected or "mappings, lists and numbers", remedy="restore the file from its archive"
    )
