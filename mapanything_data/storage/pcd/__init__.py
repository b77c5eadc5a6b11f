"""Point clouds as ASCII PCD files (binary ones follow)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapanything_data.storage.atomic import write_atomic


def read_pcd(path: Path) -> dict[str, NDArray[Any]]:
    """The fields of an ASCII file of floats, each [N] float32."""
    header, _, body = path.read_bytes().partition(b"DATA ascii\n")
    names = next(line.split()[1:] for line in header.decode().splitlines() if line.startswith("FIELDS"))
    table = np.array(body.split(), dtype=np.float32).reshape(-1, len(names))
    return {name: table[:, column] for column, name in enumerate(names)}


def write_pcd(path: Path, fields: Mapping[str, NDArray[Any]], encoding: str) -> None:
    """Write an ASCII file of floats."""
    assert encoding == "ascii"
    count = len(next(iter(fields.values())))
    ones = " ".join("1" * len(fields))
    header = [
        "VERSION 0.7", f"FIELDS {' '.join(fields)}", f"SIZE {ones.replace('1', '4')}", f"TYPE {ones.replace('1', 'F')}",
        f"COUNT {ones}", f"WIDTH {count}", "HEIGHT 1", "VIEWPOINT 0 0 0 1 0 0 0", f"POINTS {count}", "DATA ascii",
    ]  # fmt: skip
    rows = zip(*(map(str, values.tolist()) for values in fields.values()), strict=True)
    write_atomic(path, "\n".join([*header, *map(" ".join, rows)]) + "\n")


def unpack_rgb(rgb: NDArray[Any]) -> NDArray[np.uint8]:
    """[N, 3] uint8 red, green, blue of packed colours [N] float32 or uint32."""
    packed = np.ascontiguousarray(rgb).view(np.uint32)
    return np.stack([packed >> 16, packed >> 8, packed], axis=-1).astype(np.uint8)


def pack_rgb(colours: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Packed colours [N] float32 of [N, 3] uint8."""
    red, green, blue = colours.astype(np.uint32).T
    packed: NDArray[np.float32] = np.ascontiguousarray(red << 16 | green << 8 | blue).view(np.float32)
    return packed
