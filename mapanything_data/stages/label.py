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
from mapanything_data.stages.execute import absolute_path, execute, folder_of
from mapanything_data.stages.moments import MomentReader
from mapanything_data.storage.atomic import remove_unfinished, write_atomic
from mapanything_data.storage.manifest import (
    MANIFEST,
    Manifest,
    fingerprint,
    read_manifest,
    refuse_other_settings,
    write_manifest,
)
from mapanything_data.storage.opv2v import OPV2V, Scenario, read_index
from mapanything_data.storage.opv2v.layout import sibling, split_of_folder
from mapanything_data.storage.provenance import plain, software_versions
from mapanything_data.storage.tables import append_jsonl, cut_torn_line, read_jsonl, write_csv

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
    root = folder_of(config.dataset)
    name = component_name(config.dataset)
    if not isinstance(config.dataset, OPV2V):
        raise ConfigError(f"dataset={name}", "cannot be labelled", expected="dataset=opv2v", remedy="add dataset=opv2v")
    labeler = component_name(config.labeler)
    output = absolute_path("output", config.output) if config.output else sibling(root, labeler)
    _refuse_inputs(output, config.dataset)
    work = LabelWork(dataset=config.dataset, labeler=config.labeler, labeler_name=labeler, output=output)
    work.items()  # refused before anything is written
    work.prepare_output()
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
    """

    dataset: OPV2V
    labeler: Labeler
    labeler_name: str
    output: Path
    name: str = "label"
    _open: OpenLabeler | None = field(default=None, repr=False)

    def items(self) -> list[LabelItem]:
        """One for each agent that has frames.

        Raises:
            DataError: There is no such data set.
        """
        return [
            LabelItem(scenario, agent.id)
            for scenario in read_index(self.dataset.folder).scenarios
            for agent in scenario.agents.values()
            if agent.frames
        ]

    def prepare_output(self) -> None:
        """Write the manifest and the names of the classes.

        Raises:
            DataError: The folder holds labels that were made otherwise, or something else.
        """
        settings = {
            "dataset": component_name(self.dataset),
            "labeler": self.labeler_name,
            **{f"labeler.{key}": value for key, value in plain(self.labeler).items()},
        }
        known = None
        if (self.output / MANIFEST).exists():
            known = read_manifest(self.output, self.labeler_name, FORMAT_VERSION)
            if _holds_labels(self.output):
                refuse_other_settings(self.output, known, settings, "output")
        elif self.output.exists() and any(entry.name[0] != "." for entry in self.output.iterdir()):
            raise DataError(
                self.output,
                "holds files, but no manifest.json says that they are labels",
                remedy="choose another folder as output",
            )
        self.output.mkdir(parents=True, exist_ok=True)
        provenance = {"root": self.dataset.folder.name, "software": software_versions()}
        write_manifest(
            self.output,
            Manifest(
                format=self.labeler_name,
                format_version=FORMAT_VERSION,
                settings=settings,
                fingerprint=fingerprint(settings),
                # Of the run that began the labels; each run records its own versions.
                provenance=known.provenance if known and _holds_labels(self.output) else provenance,
            ),
        )
        classes = self.output / "classes.txt"
        if self.labeler.class_names and not classes.exists():
            write_atomic(classes, "".join(f"{name}\n" for name in self.labeler.class_names))

    def done(self, item: LabelItem) -> bool:
        """Whether the agent's table, which is written last, is there, and no frame was left out."""
        folder = self.output / item.folder
        return self._table(folder).exists() and not (folder / PROBLEMS).exists()

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
        finished = _FinishedFrames(records_folder(self.output, self.name) / "finished" / item.key, folder)
        frames = item.scenario.agents[item.agent].frames
        reader = MomentReader(self.dataset, item.scenario, item.agent, self.labeler.needs)
        problems: dict[str, DataError] = {}
        for count, frame in enumerate(sorted(frames)):
            report(count / len(frames))
            try:
                if frames[frame] not in finished:
                    self._label(reader, frame, frames[frame], folder, finished)
            except DataError as error:
                problems[frames[frame]] = error
        rows = [row for frame in sorted(frames) for row in finished.rows(frames[frame])]
        self._write_tables(folder, rows, problems)
        if problems:
            raise _summed_up(item, problems, folder / PROBLEMS)
        finished.forget()
        return {"frames": len(frames), "pictures": len(rows)}

    def _label(self, reader: MomentReader, frame: int, name: str, folder: Path, finished: _FinishedFrames) -> None:
        assert self._open is not None  # the engine calls `setup` before `run`
        labels = self._open.label(reader.moment(frame))
        for file, write in labels.files.items():
            write(folder / file)
        finished.add(name, list(labels.files), labels.rows)

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

    def _table(self, folder: Path) -> Path:
        return folder / f"{self.labeler_name}.csv"


class _FinishedFrames:
    """What is known of frames that are on the disk, so that a run which was killed goes on behind them."""

    def __init__(self, file: Path, folder: Path) -> None:
        self._file = file.with_name(f"{file.name}.jsonl")
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._file.parent.mkdir(parents=True, exist_ok=True)
        if self._file.exists():
            cut_torn_line(self._file)
            there = {path.name for path in folder.iterdir()}
            entries = read_jsonl(self._file)
            self._rows = {entry["frame"]: entry["rows"] for entry in entries if there.issuperset(entry["files"])}

    def __contains__(self, frame: str) -> bool:
        return frame in self._rows

    def rows(self, frame: str) -> list[dict[str, Any]]:
        return self._rows.get(frame, [])

    def add(self, frame: str, files: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
        """Take note of a frame whose files are all on the disk."""
        entry = {"frame": frame, "files": list(files), "rows": [dict(row) for row in rows]}
        append_jsonl(self._file, entry)
        self._rows[frame] = entry["rows"]  # type: ignore[assignment]

    def forget(self) -> None:
        """The table holds all of it."""
        self._file.unlink(missing_ok=True)


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
