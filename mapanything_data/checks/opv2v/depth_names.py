"""Which depth maps there are, in which layout, from names alone."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mapanything_data.checks.finding import Finding, Severity
from mapanything_data.checks.opv2v.telling import AgentFiles, Mark, tell
from mapanything_data.storage.opv2v import OPV2V, Index, Scenario
from mapanything_data.storage.opv2v.layout import DEPTH_LAYOUTS, camera_part

_PATTERNS = {
    layout: re.compile(
        re.escape(template).replace(r"\{frame\}", r"(?P<frame>\d+)").replace(r"\{camera\}", r"(?P<camera>\d+)")
    )
    for layout, template in DEPTH_LAYOUTS.items()
}
_MAKE = "make them with the label stage, or correct dataset.depth_root"

DepthMap = tuple[str, int]
"""Name of a frame and number of a camera."""


@dataclass(slots=True)
class DepthNames:
    """The depth maps of a data set, listed agent by agent when they are asked for."""

    folder: Path
    layout: str
    listed: dict[Path, Mapping[str, frozenset[DepthMap]]] = field(default_factory=dict)

    @classmethod
    def of(cls, dataset: OPV2V) -> DepthNames:
        """Those of a component."""
        return cls(dataset.depth_folder, dataset.depth_layout)

    def of_agent(self, files: AgentFiles) -> Mapping[str, frozenset[DepthMap]]:
        """Layout to the depth maps of an agent that are named that way; layouts without any are left out."""
        folder = self.folder / files.item
        if folder not in self.listed:
            self.listed[folder] = _list(folder)
        return self.listed[folder]

    def configured(self, files: AgentFiles) -> frozenset[DepthMap]:
        """The depth maps of an agent in the layout that was asked for."""
        return self.of_agent(files).get(self.layout, frozenset())


def check_depth_names(index: Index, depth: DepthNames, *, demanded: bool) -> Iterator[Finding]:
    """Depth maps in another layout, and missing ones. Without a depth folder there is nothing to find.

    Args:
        index: The data set.
        depth: Its depth maps.
        demanded: Whether the configuration names the depth folder, so that it has to be there.
    """
    if not depth.folder.is_dir():
        if demanded:
            yield Finding(
                Severity.fail, "depth", str(depth.folder), "is no folder", "correct dataset.depth_root, or leave it out"
            )
        return
    agents = [
        AgentFiles(index.root, scenario, agent) for scenario in index.scenarios for agent in scenario.agents.values()
    ]
    layouts = Counter(layout for files in agents for layout in depth.of_agent(files))
    if depth.layout not in layouts:
        yield _nothing_found(depth, layouts)
        return
    bare = [files for files in agents if _wanted(files) and not depth.configured(files)]
    yield from _tell_bare(bare, agents, depth)
    for files in agents:
        if depth.configured(files):
            yield from _tell_missing(files, depth)


def count_depth(scenario: Scenario, index: Index, depth: DepthNames) -> int:
    """How many pictures of a scenario have a depth map."""
    agents = [AgentFiles(index.root, scenario, agent) for agent in scenario.agents.values()]
    return sum(len(_wanted(files) & depth.configured(files)) for files in agents)


def _nothing_found(depth: DepthNames, layouts: Counter[str]) -> Finding:
    asked = f"{DEPTH_LAYOUTS[depth.layout]} (dataset.depth_layout={depth.layout})"
    if not layouts:
        found = f"holds no depth maps of these frames named {{split}}/{{scenario}}/{{agent}}/{asked}"
        return Finding(Severity.warn, "depth", str(depth.folder), found, _MAKE)
    other = layouts.most_common(1)[0][0]
    found = f"holds depth maps named {DEPTH_LAYOUTS[other]}, not {asked}"
    return Finding(Severity.fail, "depth", str(depth.folder), found, f"give dataset.depth_layout={other}")


def _tell_bare(bare: list[AgentFiles], agents: list[AgentFiles], depth: DepthNames) -> Iterator[Finding]:
    """Agents without any depth map; a whole scenario or split of them is one finding."""
    lacking = {files.item for files in bare}
    told = set[str]()
    for files in bare:
        for item in (files.scenario.split, f"{files.scenario.split}/{files.scenario.name}", files.item):
            inside = [other.item for other in agents if f"{other.item}/".startswith(f"{item}/") and _wanted(other)]
            if not lacking.issuperset(inside):
                continue
            if item not in told:
                told.add(item)
                others = [layout for layout in depth.of_agent(files) if layout != depth.layout]
                found = f"has depth maps as {others[0]} only" if others else "has no depth maps, others have"
                yield Finding(Severity.warn, "depth", item, found, _MAKE)
            break


def _tell_missing(files: AgentFiles, depth: DepthNames) -> Iterator[Finding]:
    # A name of other digits is told as such, not a second time as a missing depth map.
    there = {(int(name), camera) for name, camera in depth.configured(files)}
    missing = {(name, camera) for name, camera in _wanted(files) if (int(name), camera) not in there}
    frames = {name: frame for frame, name in files.agent.frames.items()}
    for camera in sorted({camera for _, camera in missing}):
        mark = Mark("its depth map is missing")
        marks = {frames[name]: mark for name, number in missing if number == camera}
        yield from tell(files, Severity.fail, "depth", camera_part(camera), marks, remedy=_MAKE)


def _wanted(files: AgentFiles) -> frozenset[DepthMap]:
    """A depth map for every picture."""
    agent = files.agent
    return frozenset((name, camera) for frame, name in agent.frames.items() for camera in agent.cameras(frame))


def _list(folder: Path) -> dict[str, frozenset[DepthMap]]:
    try:
        with os.scandir(folder) as entries:
            found = [(entry.name, entry.is_dir()) for entry in entries]
    except OSError:
        return {}
    names = [name for name, is_folder in found if not is_folder]
    for name, is_folder in found:
        if is_folder and name.isdecimal():
            names += [f"{name}/{inner}" for inner in os.listdir(folder / name)]  # noqa: PTH208 - names are wanted
    maps: dict[str, set[DepthMap]] = {}
    for name in names:
        for layout, pattern in _PATTERNS.items():
            if matched := pattern.fullmatch(name):
                maps.setdefault(layout, set()).add((matched["frame"], int(matched["camera"])))
    return {layout: frozenset(found_maps) for layout, found_maps in maps.items()}
