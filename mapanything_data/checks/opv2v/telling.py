"""Findings about frames of an agent: neighbours that share a defect are one finding, not a hundred."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mapanything_data.checks.finding import Finding, Severity
from mapanything_data.checks.pictures import runs
from mapanything_data.errors import DataError
from mapanything_data.storage.opv2v import Agent, FrameKey, Scenario
from mapanything_data.storage.opv2v.layout import camera_part

_MOST_RUNS = 5
"""A defect that comes and goes more often than this is told once, with the number of its frames."""


@dataclass(frozen=True, slots=True)
class AgentFiles:
    """The files of one agent in one scenario."""

    root: Path
    scenario: Scenario
    agent: Agent

    @property
    def item(self) -> str:
        """The agent's folder, such as `train/2021_08_16_22_26_54/641`."""
        return f"{self.scenario.split}/{self.scenario.name}/{self.agent.name}"

    def key(self, frame: int) -> FrameKey:
        """Names the files of a frame."""
        return self.scenario.key(self.agent.id, frame)

    def path(self, frame: int, part: str) -> Path:
        """Where a part of a frame is."""
        return self.root / self.key(frame).file(part)

    def has(self, frame: int, part: str) -> bool:
        """Whether a part of a frame is there."""
        return part in self.agent.parts[frame]


@dataclass(frozen=True, slots=True)
class Mark:
    """What is wrong in one frame, and how wrong: of a run of frames, the worst one is told.

    Attributes:
        found: What was found, with numbers.
        weight: How wrong it is.
        kind: What cameras have in common that are told together; `found` where it is left out.
    """

    found: str
    weight: float = 0.0
    kind: str | None = None


def tell(
    files: AgentFiles, severity: Severity, check: str, part: str, marks: Mapping[int, Mark], *, remedy: str
) -> Iterator[Finding]:
    """One finding for each run of neighbouring frames.

    Args:
        files: The agent.
        severity: Of the findings.
        check: Name of the check.
        part: Which file of a frame is wrong: `yaml`, `pcd`, `camera0`, or empty for the whole frame.
        marks: Frame to what is wrong with it.
        remedy: What to do about it.
    """
    yield from _tell_runs(files, severity, check, part, part, marks=marks, remedy=remedy)


def tell_cameras(
    files: AgentFiles, severity: Severity, check: str, marks: Mapping[int, Mapping[int, Mark]], *, remedy: str
) -> Iterator[Finding]:
    """As `tell`; cameras with a defect of the same kind in the same frames are told together.

    Args:
        files: The agent.
        severity: Of the findings.
        check: Name of the check.
        marks: Camera to frame to what is wrong with it.
        remedy: What to do about it.
    """
    alike: dict[frozenset[tuple[int, str]], list[int]] = {}
    for camera, of_camera in sorted(marks.items()):
        key = frozenset((frame, mark.found if mark.kind is None else mark.kind) for frame, mark in of_camera.items())
        alike.setdefault(key, []).append(camera)
    for cameras in alike.values():
        worst = {
            frame: max((marks[camera][frame] for camera in cameras), key=lambda mark: mark.weight)
            for frame in marks[cameras[0]]
        }
        names = ", ".join(map(camera_part, cameras))
        yield from _tell_runs(
            files, severity, check, names, names if len(cameras) == 1 else "", marks=worst, remedy=remedy
        )


def _tell_runs(
    files: AgentFiles,
    severity: Severity,
    check: str,
    what: str,
    part: str,
    *,
    marks: Mapping[int, Mark],
    remedy: str,
) -> Iterator[Finding]:
    """`what` is named in findings, `part` is the only file of a frame that is meant, empty for several."""
    order = sorted(files.agent.frames)
    places = [place for place, frame in enumerate(order) if frame in marks]
    found_runs = list(runs(places))
    if len(found_runs) > _MOST_RUNS:
        found_runs = [(places[0], places[-1])]
    for first, last in found_runs:
        frames = [frame for frame in order[first : last + 1] if frame in marks]
        worst = max((marks[frame] for frame in frames), key=lambda mark: mark.weight)
        if len(frames) == 1:
            found = worst.found if what == part else f"{what}: {worst.found}"
            yield Finding(severity, check, file_item(files, frames[0], part), found, remedy)
            continue
        names = [files.agent.frames[frame] for frame in (frames[0], frames[-1])]
        all_of = "all " if len(frames) == len(order) else ""
        found = f"{what + ' of ' if what else ''}{all_of}{len(frames)} frames, {names[0]} to {names[1]}: {worst.found}"
        yield Finding(severity, check, files.item, found, remedy)


def percent(share: float) -> str:
    """A share for people: `4.56 %`, `250 %`, `99,900 %`."""
    value = 100 * share
    return f"{value:,.0f} %" if value >= 99.95 else f"{value:.3g} %"


def measure(value: float) -> str:
    """Metres or radians for people, to a tenth of the millimetre: `0.3`, `0.0679`, `1.74`, `12,345`."""
    digits = 4 if value < 1 else 2 if value < 100 else 0
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if digits else text


def file_item(files: AgentFiles, frame: int, part: str) -> str:
    """A file as findings name it, such as `train/2021_08_16_22_26_54/641/000069_camera0.png`."""
    key = files.key(frame)
    return key.file(part).as_posix() if part else str(key)


def why_unreadable(path: Path, error: DataError) -> str:
    """What to tell of a file that a reader refused."""
    try:
        return error.found if path.stat().st_size else "the file is empty"
    except OSError:
        return error.found
