"""Whether agents agree: what several of them list at the same moment stands at the same place for all."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mapanything_data.checks.finding import Finding, Severity
from mapanything_data.checks.opv2v.rig import deviation
from mapanything_data.checks.opv2v.telling import AgentFiles, Mark, tell
from mapanything_data.scene.arrays import Floats
from mapanything_data.storage.opv2v import Annotation
from mapanything_data.storage.opv2v.layout import YAML

AGREE_M, AGREE_RAD = 1e-3, 1e-3
"""How far entries of one vehicle may differ. In sound files they are equal."""

_NAMES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Observer:
    """An agent with its annotations by frame.

    Attributes:
        files: The agent.
        annotations: By frame.
        doubtful: Frames in which its own pose is known to be wrong.
    """

    files: AgentFiles
    annotations: Mapping[int, Annotation]
    doubtful: Container[int]


def check_agreement(observers: Sequence[Observer]) -> Iterator[Finding]:
    """Vehicles that agents place or size differently, agents in their own lists, vehicles listed twice."""
    for observer in observers:
        yield from _check_list(observer)
    yield from _check_sizes(observers)
    for observer, marks in zip(observers, _differences(observers), strict=True):
        remedy = "see which of the two files is right: compare with other agents and frames"
        yield from tell(observer.files, Severity.fail, "agreement", YAML, marks, remedy=remedy)


def _check_list(observer: Observer) -> Iterator[Finding]:
    own, twice = dict[int, Mark](), dict[int, Mark]()
    for frame, annotation in observer.annotations.items():
        ids, counts = np.unique(annotation.vehicles.ids, return_counts=True)
        if observer.files.agent.id in ids:
            own[frame] = Mark("the agent is among its own vehicles")
        if (counts > 1).any():
            twice[frame] = Mark(f"lists {_names(ids[counts > 1])} twice")
    yield from tell(
        observer.files, Severity.fail, "self", YAML, own, remedy="leave its own box out when training on boxes"
    )
    yield from tell(observer.files, Severity.fail, "ids", YAML, twice, remedy="restore the file from its archive")


def _check_sizes(observers: Sequence[Observer]) -> Iterator[Finding]:
    """Boxes without a size, one finding for a scenario: CARLA gives some two-wheelers none."""
    flat = [
        annotation.vehicles.ids[~(annotation.vehicles.extent > 0).all(axis=1)]
        for observer in observers
        for annotation in observer.annotations.values()
    ]
    ids = np.concatenate(flat) if flat else np.empty(0, np.int64)
    if len(ids):
        item = observers[0].files.item.rpartition("/")[0]
        found = f"{_names(np.unique(ids))} without a size, in {len(ids)} entries (CARLA sizes no two-wheelers)"
        yield Finding(Severity.warn, "extent", item, found, "nothing to do: they are left out of the boxes")


def _differences(observers: Sequence[Observer]) -> list[dict[int, Mark]]:
    """For each observer, the frames in which it differs from the others."""
    marks: list[dict[int, Mark]] = [{} for _ in observers]
    for frame in sorted({frame for observer in observers for frame in observer.annotations}):
        present = [place for place, observer in enumerate(observers) if frame in observer.annotations]
        if len(present) < 2:
            continue
        ids, T, extent, is_own = _table([observers[place] for place in present], frame)
        reference = _reference(T, is_own)
        reference_extent = _reference(extent[..., None], np.zeros_like(is_own))[..., 0]
        metres, radians = deviation(T, reference[:, None])
        resized = np.abs(extent - reference_extent[:, None]).max(axis=-1)
        with np.errstate(invalid="ignore"):  # NaN where an agent does not list a vehicle
            wrong = (metres > AGREE_M) | (radians > AGREE_RAD) | (resized > AGREE_M)
        for column, place in enumerate(present):
            rows = np.flatnonzero(wrong[:, column])
            if len(rows):
                sizes = resized[rows, column]
                largest = float(np.nan_to_num(sizes).max())
                found = (
                    f"places {_names(ids[rows])} up to {metres[rows, column].max():.3g} m,"
                    f" {radians[rows, column].max():.3g} rad from where other agents do"
                    + (f"; sizes differ by {largest:.3g} m" if largest > AGREE_M else "")
                )
                marks[place][frame] = Mark(found, float(metres[rows, column].max()))
    return marks


def _table(observers: Sequence[Observer], frame: int) -> tuple[NDArray[np.int64], Floats, Floats, NDArray[np.bool_]]:
    """What O observers say of V vehicles: ids [V], poses [V, O, 4, 4], extents [V, O, 3], own pose [V, O]; else NaN."""
    annotations = [observer.annotations[frame] for observer in observers]
    own = [
        observer.files.agent.id
        for observer, annotation in zip(observers, annotations, strict=True)
        if annotation.T_world_agent is not None and frame not in observer.doubtful
    ]
    ids = np.unique(np.concatenate([*(annotation.vehicles.ids for annotation in annotations), np.array(own, np.int64)]))
    T = np.full((len(ids), len(observers), 4, 4), np.nan)
    extent = np.full((len(ids), len(observers), 3), np.nan)
    is_own = np.zeros((len(ids), len(observers)), bool)
    for column, (observer, annotation) in enumerate(zip(observers, annotations, strict=True)):
        rows = np.searchsorted(ids, annotation.vehicles.ids)
        T[rows, column], extent[rows, column] = annotation.vehicles.T_world_vehicle, annotation.vehicles.extent
        if observer.files.agent.id in own and annotation.T_world_agent is not None:
            row = np.searchsorted(ids, observer.files.agent.id)
            T[row, column], extent[row, column] = annotation.T_world_agent.matrix, np.nan
            is_own[row, column] = True
    return ids, T, extent, is_own


def _reference(values: Floats, is_own: NDArray[np.bool_]) -> Floats:
    """What holds for each vehicle: of two entries the agent's own or else the first, of more the median.

    Args:
        values: [V, O, n, m], NaN where an observer says nothing.
        is_own: [V, O], the entries of agents about themselves.

    Returns:
        [V, n, m].
    """
    said = np.isfinite(values).all(axis=(2, 3))
    first = np.argmax(said + 1 * is_own, axis=1)
    reference: Floats = values[np.arange(len(values)), first].copy()
    many = said.sum(axis=1) > 2
    if many.any():
        reference[many] = np.nanmedian(values[many], axis=1)
    return reference


def _names(ids: NDArray[np.int64]) -> str:
    shown = ", ".join(map(str, ids[:_NAMES_SHOWN].tolist()))
    more = f" and {len(ids) - _NAMES_SHOWN} more" if len(ids) > _NAMES_SHOWN else ""
    return f"vehicle{'s' if len(ids) > 1 else ''} {shown}{more}"
