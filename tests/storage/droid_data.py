"""Generated episodes for tests of what reads DROID, and ways to spoil them."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py

from mapanything_data.sim.droid import write_episode

REAL = Path(__file__).parents[2].parent / "shared/data/droid"
"""Where the real episode lies, if it is there at all."""

_made: dict[tuple, object] = {}


def generated(folder, **options):
    """An episode that is written once for each set of options; do not change its files."""
    key = tuple(sorted(options.items()))
    if key not in _made:
        _made[key] = write_episode(folder, **{"steps": 30} | options)
    return _made[key]


def spoilt(path, target, *, without=(), **values):
    """A copy of a trajectory with data sets left out or replaced; `__` in a keyword stands for `/`."""
    shutil.copy(path, target)
    with h5py.File(target, "a") as file:
        for key in without:
            del file[key]
        for name, array in values.items():
            key = name.replace("__", "/")
            if key in file:
                del file[key]
            file[key] = array
    return target
