"""The collect stage: a simulated world becomes a data set with perfect ground truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mapanything_data.config.registry import component_name
from mapanything_data.engine import Report, RunOptions, Stats
from mapanything_data.errors import ConfigError, require
from mapanything_data.sources.snapshots import Scenario, SnapshotSource
from mapanything_data.stages.execute import execute, folder_of, require_choice
from mapanything_data.storage.atomic import remove_unfinished
from mapanything_data.storage.manifest import begin_or_go_on, new_manifest
from mapanything_data.storage.opv2v import FrameKey, write_snapshot
from mapanything_data.storage.opv2v.layout import OPV2V, YAML, depth_file, frame_name
from mapanything_data.storage.provenance import plain

FORMAT = "opv2v"
FORMAT_VERSION = 1


@dataclass(kw_only=True, slots=True)
class CollectConfig(RunOptions):
    """Configuration of the collect app."""

    machine: Any = "???"
    """The machine profile."""
    source: Any = "???"
    """The simulated world."""
    dataset: Any = "???"
    """Where the data go."""
    executor: Any = "???"
    """Where the work runs."""


def collect(config: CollectConfig) -> int:
    """Collect: drive through a simulated world and record what every agent senses, with perfect ground truth.

    The same options give the same pictures, clouds and depth, whatever the number of workers. A collection that was
    interrupted goes on where it stopped when the same command is given again.

    Examples:
        python -m mapanything_data.collect source=town dataset=opv2v dataset.root=data/town
        python -m mapanything_data.collect dataset.root=data/town source.train=20 source.frames=100 executor=processes
    """
    require_choice("source", config.source, SnapshotSource)
    require_choice("dataset", config.dataset, OPV2V)
    if config.dataset.depth_layout != "npy":
        raise ConfigError(
            "dataset.depth_layout",
            f"is {config.dataset.depth_layout!r}, which is for reading",
            expected="npy, which keeps the exact depth",
            remedy="leave it out",
        )
    root, depth_root = folder_of(config.dataset), config.dataset.depth_folder
    if depth_root == root or root in depth_root.parents:
        raise ConfigError(
            "dataset.depth_root",
            f"{depth_root} is dataset.root or lies in it",
            expected="a folder of its own",
            remedy="leave it out for the folder beside the data set",
        )
    work = CollectWork(source=config.source, output=root, depth_root=depth_root)
    return execute(work, config.executor, config).exit_code


@dataclass(frozen=True, slots=True)
class CollectItem:
    """What one agent senses in one scenario."""

    scenario: Scenario
    agent: int

    @property
    def key(self) -> str:
        """Such as `train/town_train_0000/962`."""
        return f"{self.scenario.split}/{self.scenario.name}/{self.agent}"

    @property
    def folder(self) -> Path:
        """The agent's folder, relative to the roots of pictures and depth maps."""
        return Path(self.scenario.split, self.scenario.name, str(self.agent))

    def frames(self) -> dict[int, FrameKey]:
        """The frames of the item and the names of their files."""
        split, scenario, agent = self.folder.parts
        return {frame: FrameKey(split, scenario, agent, frame_name(frame)) for frame in self.scenario.frames}


@dataclass(slots=True)
class CollectWork:
    """Collects every agent of every scenario.

    Attributes:
        source: The world.
        output: Root of the data set.
        depth_root: Root of the exact depth maps.
    """

    source: SnapshotSource
    output: Path
    depth_root: Path
    name: str = "collect"

    def items(self) -> list[CollectItem]:
        """One item for each agent of each scenario; writes the manifest.

        An agent's share takes longer than building the town anew for it, and agents can be collected at the same time.

        Raises:
            DataError: The folder holds something else, or was collected with other settings.
        """
        manifest = new_manifest(FORMAT, FORMAT_VERSION, self._settings())
        begin_or_go_on(self.output, manifest, holds_data=any(self.output.glob("[!.]*/*/*/*")))
        return [CollectItem(scenario, agent) for scenario in self.source.scenarios() for agent in scenario.agents]

    def done(self, item: CollectItem) -> bool:
        """Whether nothing of any frame is missing."""
        return not self._missing(item)

    def setup(self) -> None:
        """Make sure that what renders and encodes is there.

        Raises:
            MissingDependencyError: A package is not installed.
        """
        require("cv2", "isal")
        self.source.setup()

    def run(self, item: CollectItem, report: Report) -> Stats:
        """Record the frames of one agent that are not on the disk yet."""
        waiting = self._missing(item)
        for root in (self.output, self.depth_root):
            remove_unfinished(root / item.folder)
        images = points = 0
        with self.source.open(item.scenario) as recorder:
            for number, (frame, key) in enumerate(waiting.items(), start=1):
                snapshot = recorder.snapshot(item.agent, frame)
                write_snapshot(self.output, key, snapshot, depth_root=self.depth_root)
                images += len(snapshot.views)
                points += len(snapshot.cloud.points) if snapshot.cloud else 0
                report(number / len(waiting))
        return {"frames": len(waiting), "images": images, "LiDAR points": points}

    def _missing(self, item: CollectItem) -> dict[int, FrameKey]:
        """The frames whose last file, the YAML file, or whose depth maps are not there."""
        names = _names_in(self.output / item.folder) | _names_in(self.depth_root / item.folder)
        return {
            frame: key
            for frame, key in item.frames().items()
            if not {key.file(YAML).name, *(depth_file(key, camera).name for camera in item.scenario.cameras)} <= names
        }

    def _settings(self) -> Mapping[str, Any]:
        options = {f"source.{name}": value for name, value in plain(dict(self.source.settings())).items()}
        return {"source": component_name(self.source), **options}


def _names_in(folder: Path) -> set[str]:
    try:
        return {path.name for path in folder.iterdir()}
    except FileNotFoundError:
        return set()
