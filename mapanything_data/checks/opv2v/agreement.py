"""Whether agents agree: what several of them list at the same moment stands at the same place for all."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mapanything_data.checks.finding import Finding, Severity
from mapanything_data.checks.opv2v.rig import deviation
from mapanything_data.checks.opv2v.telling import AgentFiles, Mark, measure, tell
from mapanything_data.scene.arrays import Floats
from mapanything_data.storage.opv2v import Annotation, Vehicles
from mapanything_data.storage.opv2v.layout import YAML

AGREE_M, AGREE_RAD = 1e-3, 1e-3
"""How far entries of one vehicle may differ. In sound files they are equal."""

NEAR_M, FEWEST_UNLISTED = 30.0, 2
"""An agent lacks vehicles in a frame when others list so many nearer to it than this that it does not list itself, and
these are more than half of those near it. Single ones may be hidden from it: OPV2V lists what a sensor sees."""

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
    """Vehicles that agents place, size or list differently, agents in their own lists, vehicles listed twice."""
    for observer in observers:
        yield from _check_list(observer)
    yield from _check_sizes(observers)
    yield from _check_unlisted(observers)
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
    """Boxes of negative sizes; those without a size, which CARLA gives some two-wheelers, are one finding."""
    sizeless = list[NDArray[np.int64]]()
    for observer in observers:
        negative = dict[int, Mark]()
        for frame, annotation in observer.annotations.items():
            ids, extent = annotation.vehicles.ids, annotation.vehicles.extent
            is_negative = (extent < 0).any(axis=1)
            sizeless.append(ids[(extent == 0).any(axis=1) & ~is_negative])
            if is_negative.any():
                negative[frame] = Mark(f"gives {_names(ids[is_negative])} a negative extent")
        remedy = "restore the file from its archive; extent holds half sizes in metres"
        yield from tell(observer.files, Severity.fail, "extent", YAML, negative, remedy=remedy)
    ids = np.concatenate(sizeless) if sizeless else np.empty(0, np.int64)
    if len(ids):
        item = observers[0].files.item.rpartition("/")[0]
        entries = f"{len(ids)} entries" if len(ids) > 1 else "1 entry"
        found = f"{_names(np.unique(ids))} without a size, in {entries} (CARLA sizes no two-wheelers)"
        yield Finding(Severity.warn, "extent", item, found, "nothing to do: they are left out of the boxes")


def _check_unlisted(observers: Sequence[Observer]) -> Iterator[Finding]:
    """Agents that do not list what others list right beside them; roadside units may see less and are left out."""
    for observer in observers:
        if observer.files.agent.is_roadside_unit:
            continue
        lacking = list[NDArray[np.int64]]()
        for frame, annotation in observer.annotations.items():
            if frame in observer.doubtful:
                continue
            others = [
                other.annotations[frame].vehicles
                for other in observers
                if other is not observer and frame in other.annotations and frame not in other.doubtful
            ]
            near = _listed_near(observer, frame, others)
            unlisted = np.setdiff1d(near, annotation.vehicles.ids)
            if len(unlisted) >= FEWEST_UNLISTED and 2 * len(unlisted) > len(near):
                lacking.append(unlisted)
        if lacking and 2 * len(lacking) > len(observer.annotations):
            count, all_frames = len(lacking), len(observer.annotations)
            found = (
                f"does not list {_names(np.unique(np.concatenate(lacking)))} in"
                f" {'all' if count == all_frames else f'{count} of'} its {all_frames} frames;"
                f" other agents do, within {NEAR_M:.0f} m of it"
            )
            remedy = "restore its YAML files, or train on the boxes of the other agents"
            yield Finding(Severity.warn, "list", observer.files.item, found, remedy)


def _listed_near(observer: Observer, frame: int, others: Sequence[Vehicles]) -> NDArray[np.int64]:
    """The ids of vehicles that others list near an agent; its own is none of them."""
    here = observer.annotations[frame].T_world_lidar.translation
    near = [vehicles.ids[np.linalg.norm(vehicles.T_world_box[:, :3, 3] - here, axis=1) < NEAR_M] for vehicles in others]
    ids = np.unique(np.concatenate(near)) if near else np.empty(0, np.int64)
    others_ids: NDArray[np.int64] = ids[(ids >= 0) & (ids != observer.files.agent.id)]
    return others_ids


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
                marks[place][frame] = _mark(
                    ids[rows], metres[rows, column], radians[rows, column], resized[rows, column]
                )
    return marks


def _mark(ids: NDArray[np.int64], metres: Floats, radians: Floats, resized: Floats) -> Mark:
    """What to tell of vehicles that are placed or sized otherwise; sizes are NaN where only a place is known."""
    far, turned, largest = float(metres.max()), float(radians.max()), float(np.nan_to_num(resized).max())
    told = list[str]()
    if far > AGREE_M or turned > AGREE_RAD:
        told.append(f"places {_names(ids)} up to {measure(far)} m, {measure(turned)} rad from where other agents do")
    if largest > AGREE_M:
        told.append(f"gives {_names(ids[resized > AGREE_M])} a size {measure(largest)} m from what other agents say")
    return Mark(" and ".join(told), max(far, largest))


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
        extent[rows[(annotation.vehicles.extent < 0).any(axis=1)], column] = np.nan  # told already
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
