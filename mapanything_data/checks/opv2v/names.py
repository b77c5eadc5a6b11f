"""What names alone tell: missing files, unequal time stamps, copies, splits that share scenarios. Nothing is opened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from pathlib import Path

from mapanything_data.checks.finding import Finding, Severity
from mapanything_data.checks.opv2v.telling import AgentFiles, Mark, tell
from mapanything_data.storage.opv2v import Agent, Index, Scenario
from mapanything_data.storage.opv2v.index import ProblemKind
from mapanything_data.storage.opv2v.layout import (
    CAMERAS,
    FRAME_STEP,
    FRAMES_PER_SECOND,
    PCD,
    SPLITS,
    YAML,
    camera_part,
    split_of_folder,
)

_NEEDED_SPLITS = SPLITS[:3]
_RANGES_SHOWN = 4
_REMEDIES = {
    ProblemKind.stray: "move it elsewhere",
    ProblemKind.repeated: "keep one of the two folders",
    ProblemKind.unreadable: "mend the link or the rights, or remove it",
}
_RESTORE = "copy the files again from the archive, or leave these frames out"


def check_names(index: Index) -> Iterator[Finding]:
    """Everything that is wrong with the names in a root."""
    yield from _check_splits(index)
    yield from _tell_problems(index)
    unreadable = {problem.path for problem in index.problems}
    for scenario in index.scenarios:
        yield from _check_agents(scenario)
        for agent in scenario.agents.values():
            files = AgentFiles(index.root, scenario, agent)
            yield from _check_missing(files, unreadable)
            yield from _check_digits(files)
        yield from _check_time_stamps(index, scenario)


def expected_parts(agent: Agent) -> list[str]:
    """The parts that every frame of an agent should have; roadside units may lack cameras."""
    cameras = [camera_part(number) for number in CAMERAS]
    if agent.is_roadside_unit:
        there = frozenset[str]().union(*agent.parts.values())
        cameras = [camera for camera in cameras if camera in there]
    return [YAML, PCD, *cameras]


def _check_splits(index: Index) -> Iterator[Finding]:
    names: dict[str, set[str]] = {}
    for scenario in index.scenarios:
        names.setdefault(scenario.split, set()).add(scenario.name)
    for one, other in combinations(names, 2):
        if shared := sorted(names[one] & names[other]):
            many = f"{len(shared)} scenarios are" if len(shared) > 1 else "1 scenario is"
            found = f"{many} in both, such as {shared[0]}"
            yield Finding(
                Severity.warn, "split", f"{one} and {other}", found, "evaluate on scenarios that were not trained on"
            )
    for folder in sorted(entry.name for entry in index.root.iterdir() if split_of_folder(entry.name)):
        if folder not in names and (index.root / folder).is_dir():
            yield Finding(Severity.warn, "split", folder, "holds no scenarios", "copy them again, or remove the folder")
    there = {split_of_folder(split) for split in names}
    absent = [split for split in _NEEDED_SPLITS if split not in there and not (index.root / split).exists()]
    # A single split is meant; two of three are a download that was not finished.
    if len(absent) == 1:
        found = "is not there, the other splits are"
        yield Finding(Severity.warn, "split", absent[0], found, "download it, or do without")


def _tell_problems(index: Index) -> Iterator[Finding]:
    for problem in index.problems:
        is_stray = problem.kind is ProblemKind.stray
        severity, check = (Severity.warn, "stray") if is_stray else (Severity.fail, "unlisted")
        yield Finding(severity, check, problem.path.as_posix(), problem.text, _REMEDIES[problem.kind])


def _check_agents(scenario: Scenario) -> Iterator[Finding]:
    item = f"{scenario.split}/{scenario.name}"
    if not scenario.agents:
        yield Finding(Severity.fail, "empty", item, "holds no agents", "copy the scenario again")
    elif len(scenario.agents) == 1:
        (agent,) = scenario.agents.values()
        found = f"agent {agent.name} is alone: nobody cooperates"
        yield Finding(Severity.warn, "single", item, found, "copy the other agents again, or train on it as one car")
    for agent in scenario.agents.values():
        if not agent.frames:
            found = "holds no frames, so the scenario has none that all agents share"
            yield Finding(Severity.fail, "empty", f"{item}/{agent.name}", found, "copy the agent again, or remove it")


def _check_missing(files: AgentFiles, unreadable: set[Path]) -> Iterator[Finding]:
    """A part that no frame has is one finding; then the same parts in neighbouring frames."""
    agent = files.agent
    missing = {
        frame: [
            part
            for part in expected_parts(agent)
            if part not in parts and files.key(frame).file(part) not in unreadable
        ]
        for frame, parts in agent.parts.items()
    }
    nowhere = set.intersection(*map(set, missing.values())) if missing else set[str]()
    if nowhere and len(missing) > 1:
        found = f"lacks {', '.join(sorted(nowhere))} in all {len(missing)} frames"
        yield Finding(Severity.fail, "missing", files.item, found, "copy the agent again, or leave it out")
        missing = {frame: [part for part in parts if part not in nowhere] for frame, parts in missing.items()}
    for parts in sorted({tuple(parts) for parts in missing.values() if parts}):
        frames = [frame for frame, lacking in missing.items() if tuple(lacking) == parts]
        mark = Mark("is missing") if len(parts) == 1 else Mark(f"{', '.join(parts)} are missing")
        part = parts[0] if len(parts) == 1 else ""
        yield from tell(files, Severity.fail, "missing", part, dict.fromkeys(frames, mark), remedy=_RESTORE)


def _check_digits(files: AgentFiles) -> Iterator[Finding]:
    agent = files.agent
    for name in agent.duplicates:
        found = f"stands for the same frame as {agent.frames[int(name)]}"
        yield Finding(Severity.warn, "duplicate", f"{files.item}/{name}", found, "keep one of the two")
    lengths = Counter(len(name) for name in agent.frames.values())
    if len(lengths) < 2:
        return
    usual = lengths.most_common(1)[0][0]
    found = f"has another number of digits than the other frames ({usual})"
    marks = {frame: Mark(found) for frame, name in agent.frames.items() if len(name) != usual}
    yield from tell(files, Severity.warn, "digits", "", marks, remedy=f"rename the files to {usual} digits")


def _check_time_stamps(index: Index, scenario: Scenario) -> Iterator[Finding]:
    """A frame that one agent lacks is told as unequal; a gap is where all lack it."""
    agents = [agent for agent in scenario.agents.values() if agent.frames]
    union = sorted(set[int]().union(*(agent.frames for agent in agents)))
    common = set(union).intersection(*(agent.frames for agent in agents))
    for agent in agents:
        lacking = [frame for frame in union if frame not in agent.frames]
        if lacking:
            found = (
                f"lacks {len(lacking)} of the {len(union)} frames that agents of the scenario have"
                f" ({_ranges(lacking, union)}); {len(common)} are common to all, the others are dropped"
            )
            item = AgentFiles(index.root, scenario, agent).item
            yield Finding(Severity.warn, "unequal", item, found, "copy the agent again, or work with the common frames")
    yield from _check_steps(f"{scenario.split}/{scenario.name}", union)


def _check_steps(item: str, frames: Sequence[int]) -> Iterator[Finding]:
    steps = Counter(b - a for a, b in pairwise(frames))
    if not steps:
        return
    usual = steps.most_common(1)[0][0]
    if usual != FRAME_STEP:
        seconds = usual / FRAMES_PER_SECOND
        found = f"its frames count by {usual}, those of OPV2V by {FRAME_STEP}: they are {seconds:g} s apart"
        yield Finding(Severity.warn, "step", item, found, "see whether the data set was thinned out or renumbered")
    gaps = [(a, b) for a, b in pairwise(frames) if b - a != usual]
    if gaps:
        shown = ", ".join(f"{a:06d} to {b:06d}" for a, b in gaps[:_RANGES_SHOWN])
        more = f" and {len(gaps) - _RANGES_SHOWN} more" if len(gaps) > _RANGES_SHOWN else ""
        many = f"{len(gaps)} steps between frames are" if len(gaps) > 1 else "1 step between frames is"
        found = f"{many} not {usual}: {shown}{more}"
        yield Finding(Severity.warn, "gap", item, found, "do not use the two frames as neighbours")


def _ranges(frames: Sequence[int], order: Sequence[int]) -> str:
    """Frames as ranges of neighbours in `order`, a few of them."""
    wanted, ranges = set(frames), list[list[int]]()
    for before, frame in zip([None, *order], order, strict=False):
        if frame in wanted:
            if before in wanted:
                ranges[-1][1] = frame
            else:
                ranges.append([frame, frame])
    shown = [f"{a:06d}" if a == b else f"{a:06d} to {b:06d}" for a, b in ranges[:_RANGES_SHOWN]]
    return ", ".join(shown) + (f" and {len(ranges) - _RANGES_SHOWN} more" if len(ranges) > _RANGES_SHOWN else "")
