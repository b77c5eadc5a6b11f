"""Which frames of an OPV2V root are complete, from names of files alone, and what was left out and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mapanything_data.datasets.opv2v_options import ViewOptions
from mapanything_data.errors import DataError
from mapanything_data.storage.folder_listing import FolderListing, Kind, memory_file
from mapanything_data.storage.opv2v import Agent, Scenario, depth_file, read_index
from mapanything_data.storage.opv2v.layout import YAML, camera_part, sibling, split_of_folder


@dataclass(slots=True)
class LeftOut:
    """What did not become a sample: reason to how often, and where first."""

    counts: dict[str, int] = field(default_factory=dict)
    firsts: dict[str, str] = field(default_factory=dict)

    def add(self, reason: str, where: object, count: int = 1) -> None:
        """Take note."""
        self.counts[reason] = self.counts.get(reason, 0) + count
        self.firsts.setdefault(reason, str(where))

    def lines(self) -> list[str]:
        """A line for each reason."""
        return [f"left out: {count} {reason} (first: {self.firsts[reason]})" for reason, count in self.counts.items()]


@dataclass(frozen=True, slots=True)
class Scene:
    """A scenario and the numbers of its complete frames.

    Attributes:
        scenario: From the index.
        frames: Agent to the frames that have all files, in order; agents without any are not there.
    """

    scenario: Scenario
    frames: Mapping[int, list[int]]


def complete_frames(options: ViewOptions, split: str) -> tuple[list[Scene], LeftOut]:
    """The frames of a split that have their YAML file and the pictures and depth maps of all cameras in use.

    Raises:
        DataError: The root is none, lacks the split, or has no depth map for any frame.
    """
    index = read_index(options.folder)
    scenarios = index.of_split(split)
    if not scenarios:
        present = sorted({scenario.split for scenario in index.scenarios})
        raise DataError(
            options.folder,
            f"has no scenes of the split {split}",
            expected=f"dataset.train_split and dataset.test_split among {', '.join(present)}",
            remedy="correct them, or dataset.root",
        )
    left_out = LeftOut()
    for problem in index.problems:
        if split_of_folder(problem.path.parts[0]) == split_of_folder(split):
            left_out.add("folders or files that could not be listed", f"{problem.path}: {problem.text}")
    finder = _Finder(options, left_out)
    scenes = [Scene(scenario, finder.frames(scenario)) for scenario in scenarios[: options.max_scenes]]
    finder.close()
    return scenes, left_out


class _Finder:
    """Looks for the files of frames."""

    def __init__(self, options: ViewOptions, left_out: LeftOut) -> None:
        self._options = options
        self._left_out = left_out
        self._listing = FolderListing(options.depth_folder, memory_file(options.depth_folder))
        self._folders: dict[Path, Mapping[str, Kind]] = {}
        self._with_depth = 0
        self._first_without: Path | None = None

    def frames(self, scenario: Scenario) -> dict[int, list[int]]:
        """The complete frames of each agent."""
        found = {}
        for agent in scenario.agents.values():
            if agent.is_roadside_unit and not self._options.include_roadside_units:
                self._left_out.add(
                    "frames of roadside units", f"{scenario.split}/{scenario.name}/{agent.name}", len(agent.frames)
                )
                continue
            numbers = [number for number in agent.frames if self._is_complete(scenario, agent, number)]
            if numbers:
                found[agent.id] = numbers
        return found

    def close(self) -> None:
        """Remember the listings.

        Raises:
            DataError: There is not one depth map.
        """
        self._listing.remember()
        if self._first_without is not None and not self._with_depth:
            raise DataError(
                self._options.depth_folder,
                "holds no depth map of any frame in use",
                expected=f"files like {self._first_without}",
                remedy=_way_to_depth(self._options),
            )

    def _is_complete(self, scenario: Scenario, agent: Agent, number: int) -> bool:
        key = scenario.key(agent.id, number)
        for part in (YAML, *(camera_part(camera) for camera in self._options.camera_ids)):
            if part not in agent.parts[number]:
                self._left_out.add(f"frames without {part}", self._options.folder / key.file(part))
                return False
        for camera in self._options.camera_ids:
            path = self._options.depth_folder / depth_file(key, camera, self._options.depth_layout)
            if self._entries(path.parent).get(path.name) != "file":
                self._left_out.add(f"frames without depth of camera{camera}", path)
                self._first_without = self._first_without or path
                return False
        self._with_depth += 1
        return True

    def _entries(self, folder: Path) -> Mapping[str, Kind]:
        if folder not in self._folders:
            try:
                self._folders[folder] = self._listing.entries(folder)
            except OSError:
                self._folders[folder] = {}
        return self._folders[folder]


def _way_to_depth(options: ViewOptions) -> str:
    """What is missing of two steps: to make depth maps, and to read them from where `label` writes them."""
    made = sibling(options.folder, "lidar_depth")
    layout = "" if options.depth_layout == "npy" else " dataset.depth_layout=npy"
    read_them = f"give dataset.depth_root={made}{layout}"
    make_them = f"run python -m mapanything_data.label dataset=opv2v dataset.root={options.root} labeler=lidar_depth"
    if options.depth_folder == made:
        steps = make_them
    elif made.is_dir():
        steps = read_them
    else:
        steps = f"{make_them}, then {read_them}"
    return f"{steps}; or correct dataset.depth_root and dataset.depth_layout"
