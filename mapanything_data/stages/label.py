"""The label stage: computes labels for the frames of a data set, into a folder beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mapanything_data.config.registry import component_name
from mapanything_data.engine import Report, RunOptions, Stats
from mapanything_data.engine.folder import records_folder
from mapanything_data.errors import ConfigError, DataError, require
from mapanything_data.labelers.protocol import Labeler, OpenLabeler
from mapanything_data.stages.execute import absolute_path, execute, folder_of, require_choice
from mapanything_data.stages.moments import MomentReader
from mapanything_data.storage.atomic import remove_unfinished, write_atomic
from mapanything_data.storage.manifest import (
    MANIFEST,
    Manifest,
    begin_or_go_on,
    new_manifest,
)
from mapanything_data.storage.opv2v import OPV2V, Scenario, read_index
from mapanything_data.storage.opv2v.layout import sibling, split_of_folder
from mapanything_data.storage.provenance import plain
from mapanything_data.storage.tables import append_jsonl, cut_torn_line, read_csv, read_jsonl, write_csv

FORMAT_VERSION = 1
PROBLEMS = "problems.csv"


@dataclass(kw_only=True, slots=True)
class LabelConfig(RunOptions):
    """Configuration of the label app."""

    machine: Any = "???"
    """The machine profile."""
    dataset: Any = "???"
    """The data set to label."""
    labeler: Any = "???"
    """What computes the labels."""
    executor: Any = "???"
    """Where the work runs."""
    again: bool = False
    """Label everything again, also what is finished: for data that have changed since."""
    output: str = ""
    """Folder for the labels; empty stands for the one beside the data set whose name ends in _ and the labeler's."""


def label(config: LabelConfig) -> int:
    """Label: compute labels for the frames of a data set.

    Writes to a folder beside the data set, never into it. A frame that cannot be read is named in problems.csv and
    makes its agent count as failed; the other frames are labelled. A run that was interrupted goes on where it stopped
    when the same command is given again.

    Examples:
        python -m mapanything_data.label dataset.root=data/opv2v labeler=lidar_depth
        python -m mapanything_data.label dataset.root=data/opv2v labeler=lidar_depth labeler.agents=all output=data/d
        python -m mapanything_data.label dataset.root=data/opv2v labeler=boxes3d labeler.depth=true executor=processes
    """
    require_choice("dataset", config.dataset, OPV2V)
    require_choice("labeler", config.labeler, Labeler)
    root = folder_of(config.dataset)
    labeler = component_name(config.labeler)
    output = absolute_path("output", config.output) if config.output else sibling(root, labeler)
    _refuse_inputs(output, config.dataset)
    if config.labeler.needs.depth and not config.dataset.depth_folder.is_dir():
        raise ConfigError(
            "dataset.depth_root",
            f"{config.dataset.depth_folder} is not there",
            expected="a folder of depth maps, which the labeler needs",
            remedy="correct it, or make depth first, as with labeler=lidar_depth",
        )
    read_index(config.dataset.folder)  # where there is no such data set, nothing is written either
    work = LabelWork(
        dataset=config.dataset, labeler=config.labeler, labeler_name=labeler, output=output, again=config.again
    )
    return execute(work, config.executor, config).exit_code


@dataclass(frozen=True, slots=True)
class LabelItem:
    """One agent of one scenario."""

    scenario: Scenario
    agent: int

    @property
    def folder(self) -> Path:
        """Relative to the data set and to the output."""
        return Path(self.scenario.split, self.scenario.name, self.scenario.agents[self.agent].name)

    @property
    def key(self) -> str:
        """Such as `train/2021_08_16_22_26_54/641`."""
        return self.folder.as_posix()


@dataclass(slots=True)
class LabelWork:
    """Labels every agent of every scenario.

    Attributes:
        dataset: What is labelled.
        labeler: The component.
        labeler_name: Its name, which the tables have, too.
        output: Where labels are written.
        again: Whether to label what is finished, too.
    """

    dataset: OPV2V
    labeler: Labeler
    labeler_name: str
    output: Path
    again: bool = False
    name: str = "label"
    _open: OpenLabeler | None = field(default=None, repr=False)

    def items(self) -> list[LabelItem]:
        """One for each agent that has frames; writes the manifest and the names of the classes.

        Raises:
            DataError: There is no such data set, or the folder holds other labels or something else.
        """
        self._describe_output()
        return [
            LabelItem(scenario, agent.id)
            for scenario in read_index(self.dataset.folder).scenarios
            for agent in scenario.agents.values()
            if agent.frames
        ]

    def done(self, item: LabelItem) -> bool:
        """Whether every picture has its row in the agent's table, which is written last, and all of its labels."""
        folder = self.output / item.folder
        if self.again or (folder / PROBLEMS).exists() or not self._table(folder).exists():
            return False
        agent = item.scenario.agents[item.agent]
        finished = _FinishedFrames(folder, self._table(folder), self.labeler.suffixes)
        return all(finished.cameras(name) == agent.cameras(frame) for frame, name in agent.frames.items())

    def setup(self) -> None:
        """Open the labeler.

        Raises:
            MissingDependencyError: A package is not installed.
        """
        require("cv2", "isal")
        self._open = self.labeler.open()

    def run(self, item: LabelItem, report: Report) -> Stats:
        """Label the frames of one agent that are not labelled yet.

        Raises:
            DataError: A frame cannot be read; all others are labelled by then.
        """
        folder = self.output / item.folder
        folder.mkdir(parents=True, exist_ok=True)
        remove_unfinished(folder)
        if self.again:
            self._table(folder).unlink(missing_ok=True)
            self._notes(item).unlink(missing_ok=True)
        finished = _FinishedFrames(folder, self._table(folder), self.labeler.suffixes)
        finished.keep_notes(self._notes(item))
        agent = item.scenario.agents[item.agent]
        frames = agent.frames
        reader = MomentReader(self.dataset, item.scenario, item.agent, self.labeler.needs)
        problems: dict[str, DataError] = {}
        for count, frame in enumerate(sorted(frames)):
            report(count / len(frames))
            try:
                if frames[frame] not in finished or finished.cameras(frames[frame]) != agent.cameras(frame):
                    self._label(reader, frame, frames[frame], folder, finished)
            except DataError as error:
                problems[frames[frame]] = error
        rows = [row for frame in sorted(frames) for row in finished.rows(frames[frame])]
        self._write_tables(folder, rows, problems)
        if problems:
            raise _summed_up(item, problems, folder / PROBLEMS)
        finished.drop_notes()
        return {"frames": len(frames), "pictures": len(rows)}

    def _describe_output(self) -> None:
        settings = {
            "dataset": component_name(self.dataset),
            "labeler": self.labeler_name,
            **{f"labeler.{key}": value for key, value in plain(self.labeler).items()},
        }
        inputs = {"root": str(self.dataset.folder.resolve())}
        if self.labeler.needs.depth:
            inputs |= {
                "depth_root": str(self.dataset.depth_folder.resolve()),
                "depth_layout": self.dataset.depth_layout,
            }
        manifest = new_manifest(self.labeler_name, FORMAT_VERSION, settings, **inputs)
        known = begin_or_go_on(self.output, manifest, holds_data=_holds_labels(self.output), place="output")
        _refuse_other_inputs(self.output, known, inputs)
        classes = self.output / "classes.txt"
        if self.labeler.class_names and not classes.exists():
            write_atomic(classes, "".join(f"{name}\n" for name in self.labeler.class_names))

    def _label(self, reader: MomentReader, frame: int, name: str, folder: Path, finished: _FinishedFrames) -> None:
        assert self._open is not None  # the engine calls `setup` before `run`
        labels = self._open.label(reader.moment(frame))
        for file, write in labels.files.items():
            write(folder / file)
        finished.add(name, labels.rows)

    def _write_tables(self, folder: Path, rows: Sequence[Mapping[str, Any]], problems: Mapping[str, DataError]) -> None:
        """In an order in which a kill between them never makes a broken agent look finished."""
        if problems:
            told = [
                {"frame": frame, "file": _relative(error.where, self.dataset.folder), "problem": error.found}
                for frame, error in problems.items()
            ]
            write_csv(folder / PROBLEMS, ["frame", "file", "problem"], told)
        write_csv(self._table(folder), self.labeler.columns, rows)
        if not problems:
            (folder / PROBLEMS).unlink(missing_ok=True)

    def _notes(self, item: LabelItem) -> Path:
        return records_folder(self.output, self.name) / "finished" / f"{item.key}.jsonl"

    def _table(self, folder: Path) -> Path:
        return folder / f"{self.labeler_name}.csv"


class _FinishedFrames:
    """The frames of an agent whose labels are all on the disk, and their rows of the table.

    What the table does not hold yet is noted in a file of the run, so that a run which was killed goes on behind it.
    """

    def __init__(self, folder: Path, table: Path, suffixes: Sequence[str]) -> None:
        self._names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        self._suffixes = suffixes
        self._rows: dict[str, list[Mapping[str, Any]]] = {}
        self._notes: Path | None = None
        by_frame: dict[str, list[Mapping[str, Any]]] = {}
        for row in read_csv(table) if table.exists() else ():
            by_frame.setdefault(row["frame"], []).append(row)
        self._take_complete(by_frame)

    def __contains__(self, frame: str) -> bool:
        return frame in self._rows

    def cameras(self, frame: str) -> list[int]:
        """The cameras of a frame that are labelled, in order."""
        return sorted(int(row["camera"]) for row in self._rows.get(frame, ()))

    def rows(self, frame: str) -> Sequence[Mapping[str, Any]]:
        """The frame's rows of the table."""
        return self._rows.get(frame, ())

    def keep_notes(self, file: Path) -> None:
        """Read the notes of a run that was killed, and go on with them."""
        file.parent.mkdir(parents=True, exist_ok=True)
        self._notes = file
        if file.exists():
            cut_torn_line(file)
            self._take_complete({entry["frame"]: entry["rows"] for entry in read_jsonl(file)})

    def add(self, frame: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take note of a frame whose files are all on the disk."""
        assert self._notes is not None
        append_jsonl(self._notes, {"frame": frame, "rows": [dict(row) for row in rows]})
        self._rows[frame] = list(rows)

    def drop_notes(self) -> None:
        """The table holds all of it."""
        assert self._notes is not None
        self._notes.unlink(missing_ok=True)

    def _take_complete(self, by_frame: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        for frame, rows in by_frame.items():
            files = {f"{frame}_camera{row['camera']}{suffix}" for row in rows for suffix in self._suffixes}
            if files <= self._names:
                self._rows[frame] = list(rows)


def _refuse_inputs(output: Path, dataset: OPV2V) -> None:
    """Make sure that labels are not written among what they are made from."""
    for option, folder in (("dataset.root", dataset.folder), ("dataset.depth_root", dataset.depth_folder)):
        out, inputs = output.resolve(), folder.resolve()
        if out == inputs or inputs in out.parents or out in inputs.parents:
            raise ConfigError(
                "output",
                f"{output} and {option}={folder} are one folder, or one lies in the other",
                expected="a folder of its own for the labels",
                remedy="leave output out for the folder beside the data set, or name another",
            )


def _refuse_other_inputs(output: Path, known: Manifest, inputs: Mapping[str, str]) -> None:
    """Make sure that a folder does not mix labels of two data sets, which may have scenarios of one name."""
    for name, value in inputs.items():
        if known.provenance.get(name) != value:
            raise DataError(
                output,
                f"holds labels made from {name}={known.provenance.get(name)}",
                expected=f"{name}={value}",
                remedy=f"give another folder as output; if the same data were moved, correct {name} in {MANIFEST}",
            )


def _holds_labels(output: Path) -> bool:
    return any(split_of_folder(entry.name) and any(entry.glob("*/*/*")) for entry in output.iterdir())


def _summed_up(item: LabelItem, problems: Mapping[str, DataError], table: Path) -> DataError:
    frame, first = next(iter(problems.items()))
    count = len(item.scenario.agents[item.agent].frames)
    return DataError(
        first.where,
        f"{first.found} (frame {frame}; {len(problems)} of {count} frames could not be labelled, the others are)",
        remedy=f"restore the files that {table} names, then add retry=failed",
    )


def _relative(where: str, root: Path) -> str:
    return where.removeprefix(f"{root}/")
