"""What an OPV2V root holds: splits, scenarios, agents, frames, from names of files alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from mapanything_data.errors import DataError
from mapanything_data.storage.folder_listing import FolderListing, Kind, memory_file
from mapanything_data.storage.opv2v.layout import (
    SPLITS,
    FrameKey,
    camera_of_part,
    parse_agent_folder,
    parse_frame_file,
    split_of_folder,
)

_SEARCH_DEPTH = 3
"""So many levels above and below a folder without splits are searched for a root to propose."""
_FOLDERS_SEARCHED = 2000
_LABEL = re.compile(r"[0-9]{1,18}(_(camera|depth)[0-9]+.*)?")
"""Files of depth maps and labels are named after frames and cameras; some stand in a folder for each frame."""


class ProblemKind(Enum):
    """What keeps a name from being listed."""

    stray = "stray"
    """a folder among the agents whose name is no id"""
    repeated = "repeated"
    """a second folder of one agent"""
    unreadable = "unreadable"
    """a folder that cannot be read, a link to nowhere, no file"""


@dataclass(frozen=True, slots=True)
class Problem:
    """What could not be listed.

    Attributes:
        path: Relative to the root.
        kind: Of the problem.
        text: Why, for people.
    """

    path: Path
    kind: ProblemKind
    text: str


@dataclass(frozen=True, slots=True)
class Agent:
    """The frames of one agent in one scenario.

    Attributes:
        id: Negative for a roadside unit.
        name: Name of its folder, which may have leading zeros.
        frames: Frame number to the name of its files; where two names stand for one number, the longer one.
        parts: Frame number to the parts that are there, such as `yaml`, `pcd`, `camera0`.
        duplicates: Names that stand for the number of another frame.
    """

    id: int
    name: str
    frames: Mapping[int, str]
    parts: Mapping[int, frozenset[str]]
    duplicates: Sequence[str]

    @property
    def is_roadside_unit(self) -> bool:
        """Whether it stands beside the road instead of driving."""
        return self.id < 0

    def cameras(self, frame: int) -> list[int]:
        """The numbers of the cameras of which a frame has a picture, in order."""
        numbers = map(camera_of_part, self.parts[frame])
        return sorted(number for number in numbers if number is not None)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One drive of several agents.

    Attributes:
        split: Name of the split's folder.
        name: Name of the scenario's folder.
        agents: By id, vehicles first in increasing order, then roadside units.
    """

    split: str
    name: str
    agents: Mapping[int, Agent]

    def ego(self, main_agent: int | None = None) -> int | None:
        """The agent that a cooperative sample is centred on.

        The vehicle with the lowest id, compared as a number (text would put 1007 before 962), or `main_agent` where the
        scenario has it. None where there is no such vehicle; a roadside unit is never the ego.
        """
        vehicles = [agent.id for agent in self.agents.values() if not agent.is_roadside_unit]
        if main_agent is not None:
            return main_agent if main_agent in vehicles else None
        return min(vehicles, default=None)

    def common_frames(self) -> list[int]:
        """Frame numbers that every agent has, in order."""
        frames = [set(agent.frames) for agent in self.agents.values()]
        return sorted(set.intersection(*frames)) if frames else []

    def key(self, agent: int, frame: int) -> FrameKey:
        """Names the files of a frame."""
        return FrameKey(self.split, self.name, self.agents[agent].name, self.agents[agent].frames[frame])


@dataclass(frozen=True, slots=True)
class Index:
    """Everything that a root holds.

    Attributes:
        root: The folder of the splits.
        scenarios: In the order of the splits, then by name.
        problems: What could not be listed.
    """

    root: Path
    scenarios: Sequence[Scenario]
    problems: Sequence[Problem]

    def of_split(self, split: str) -> list[Scenario]:
        """The scenarios of a split, whichever way its folder is spelled."""
        return [scenario for scenario in self.scenarios if split_of_folder(scenario.split) == split_of_folder(split)]


def read_index(root: Path, *, remembered: bool = True) -> Index:
    """List a root.

    Args:
        root: The folder of the splits; a link to it will do.
        remembered: Whether folders that have not changed since the last time may be taken from memory.

    Raises:
        DataError: The folder is missing, unreadable or holds no agents, or only depth maps or labels; names a folder
            near it that does.
    """
    reader = _Reader(root, FolderListing(root, memory_file(root) if remembered else None))
    try:
        splits = reader.splits()
    except OSError as error:
        raise DataError(
            root, f"cannot be read ({error.strerror})", expected="a folder with OPV2V splits", remedy=_advice(root)
        ) from error
    scenarios = [scenario for split in splits for scenario in reader.scenarios(split)]
    if not any(scenario.agents for scenario in scenarios):
        raise DataError(
            root,
            "holds no OPV2V data: there is no {split}/{scenario}/{agent}/ with an integer for the agent in it",
            expected=f"folders named {', '.join(SPLITS)}",
            remedy=_advice(root),
        )
    if reader.holds_labels_only(scenarios):
        raise DataError(
            root,
            "holds no frames: these are depth maps or labels of an OPV2V root",
            expected="YAML files, PCD files and pictures",
            remedy=_advice_beside(root),
        )
    reader.listing.remember()
    return Index(root, scenarios, reader.problems)


def nearest_root(folder: Path) -> Path | None:
    """The closest folder above or below `folder` that holds a split with agents' frames, None where there is none."""
    candidates = [folder, *list(folder.absolute().parents)[:_SEARCH_DEPTH]]
    level, searched = [folder], 0
    for _ in range(_SEARCH_DEPTH):
        level = [inner for outer in level for inner in _subfolders(outer) if not inner.name.startswith(".")]
        level = level[: _FOLDERS_SEARCHED - searched]
        searched += len(level)
        candidates += level
    return next((candidate for candidate in candidates if _looks_like_root(candidate)), None)


class _Reader:
    """Walks a root and takes note of what cannot be listed."""

    def __init__(self, root: Path, listing: FolderListing) -> None:
        self.listing = listing
        self.problems: list[Problem] = []
        self._root = root

    def splits(self) -> list[str]:
        """The folders of the splits.

        Raises:
            OSError: The root cannot be read.
        """
        self.listing.entries(self._root)
        return sorted((name for name in self._folders(Path()) if split_of_folder(name)), key=_split_order)

    def scenarios(self, split: str) -> Iterator[Scenario]:
        """The scenarios of a split's folder; those of the incomplete additional archive are left out."""
        for name in self._folders(Path(split)):
            if "additional" not in name:
                yield Scenario(split, name, self._agents(Path(split, name)))

    def holds_labels_only(self, scenarios: Sequence[Scenario]) -> bool:
        """Whether no agent has frames, and files of one are named after frames all the same."""
        agents = [(scenario, agent) for scenario in scenarios for agent in scenario.agents.values()]
        return not any(agent.frames for _, agent in agents) and any(
            _LABEL.fullmatch(name)
            for scenario, agent in agents
            for name in self._entries(Path(scenario.split, scenario.name, agent.name))
        )

    def _agents(self, scenario: Path) -> dict[int, Agent]:
        agents: dict[int, Agent] = {}
        for name in self._folders(scenario):
            number = parse_agent_folder(name)
            if number is None:
                if "additional" not in name:
                    self._note(scenario / name, ProblemKind.stray, "the folder's name is no agent id (an integer)")
            else:
                agent = _agent(number, name, self._entries(scenario / name))
                agents[number] = self._kept(scenario, agents[number], agent) if number in agents else agent
        ordered = sorted(agents.values(), key=lambda agent: (agent.is_roadside_unit, abs(agent.id)))
        return {agent.id: agent for agent in ordered}

    def _kept(self, scenario: Path, one: Agent, other: Agent) -> Agent:
        """Of two folders for one agent the one with frames, then the one without leading zeros."""
        kept, left = sorted((one, other), key=lambda agent: (not agent.frames, agent.name != str(agent.id)))
        found = f"is agent {left.id} a second time, beside {kept.name}/"
        self._note(
            scenario / left.name, ProblemKind.repeated, found if left.frames else f"{found}, and holds no frames"
        )
        return kept

    def _folders(self, folder: Path) -> list[str]:
        return [name for name, kind in self._entries(folder).items() if kind == "folder"]

    def _entries(self, folder: Path) -> Mapping[str, Kind]:
        try:
            entries = self.listing.entries(self._root / folder)
        except OSError as error:
            self._note(folder, ProblemKind.unreadable, f"the folder cannot be read ({error.strerror})")
            return {}
        for name, kind in entries.items():
            if kind == "unreadable":
                self._note(folder / name, ProblemKind.unreadable, "is a link to nowhere or no file")
        return entries

    def _note(self, path: Path, kind: ProblemKind, text: str) -> None:
        self.problems.append(Problem(path, kind, text))


def _agent(number: int, name: str, entries: Mapping[str, Kind]) -> Agent:
    by_name: dict[str, set[str]] = {}
    for file, kind in entries.items():
        parsed = parse_frame_file(file) if kind == "file" else None
        if parsed:
            by_name.setdefault(parsed[0], set()).add(parsed[1])
    # The longest name is the six-digit one of the real data; the same number in fewer digits is a copy.
    frames = {int(frame): frame for frame in sorted(by_name, key=lambda frame: (int(frame), len(frame)))}
    duplicates = sorted(by_name.keys() - frames.values())
    parts = {frame_number: frozenset(by_name[frame]) for frame_number, frame in frames.items()}
    return Agent(number, name, frames, parts, duplicates)


def _split_order(name: str) -> tuple[int, str]:
    return SPLITS.index(split_of_folder(name) or SPLITS[-1]), name


def _advice(root: Path) -> str:
    near = nearest_root(root)
    return f"did you mean dataset.root={near}?" if near else "give dataset.root the folder that holds the splits"


def _advice_beside(root: Path) -> str:
    """`data/opv2v_lidar_depth` stands beside `data/opv2v` or `data/opv2v_images`."""
    words = root.absolute().name.split("_")
    names = ["_".join(words[:count]) for count in range(len(words) - 1, 0, -1)]
    beside = [root.absolute().with_name(name + end) for name in names for end in ("", "_images")]
    near = next((folder for folder in beside if _looks_like_root(folder)), None)
    return f"did you mean dataset.root={near}?" if near else "give dataset.root the folder that holds the frames"


def _looks_like_root(folder: Path) -> bool:
    return any(
        parse_agent_folder(agent.name) is not None
        for split in _subfolders(folder)
        if split_of_folder(split.name)
        for scenario in _subfolders(split)[:3]
        for agent in _subfolders(scenario)[:20]
    )


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if entry.is_dir())
    except OSError:
        return []
