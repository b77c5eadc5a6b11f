"""The report stage: one page that shows what a data set holds and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mapanything_data.config.registry import component_name
from mapanything_data.errors import DataError
from mapanything_data.stages.execute import absolute_path, folder_of, module_of_dataset, say
from mapanything_data.storage.atomic import write_atomic
from mapanything_data.storage.tables import read_json, write_csv, write_json
from mapanything_data.viz.report import Report, plain_number, render_html


@dataclass(kw_only=True, slots=True)
class ReportConfig:
    """Configuration of the report app."""

    machine: Any = "???"
    """The machine profile."""
    dataset: Any = "???"
    """The data set to report on."""
    output: str = "${dataset.root}"
    """Folder for report.html and report.json, and where check.json is looked for."""


def report(config: ReportConfig) -> int:
    """Report: one HTML page with what a data set holds, example pictures, and what the last check found.

    The page needs no network and no other file: send it to somebody, or open it from a server by its file name.

    Examples:
        python -m mapanything_data.report dataset=segments dataset.root=data/drive
        python -m mapanything_data.report dataset.root=/mnt/readonly/drive output=/tmp/drive-check
    """
    folder_of(config.dataset)  # refuses an empty name
    output = absolute_path("output", config.output)
    summary = _summarise(config.dataset)
    check = read_json(output / "check.json") if (output / "check.json").exists() else None
    try:
        output.mkdir(parents=True, exist_ok=True)
        write_json(output / "report.json", {**summary.to_dict(), "check": check})
        for name, rows in summary.tables.items():
            write_csv(output / f"{name}.csv", list(rows[0]) if rows else [], rows)
        write_atomic(output / "report.html", render_html(summary, check))
    except OSError as error:
        raise DataError(output, f"cannot be written ({error.strerror})", remedy="give output=FOLDER") from error
    for name, value in summary.facts.items():
        say(f"{name:22} {plain_number(value)}")
    say(f"{'check':22} {check['verdict'] if check else 'not checked yet: run mapanything_data.check'}")
    for name in summary.tables:
        say(f"{'table':22} {output / f'{name}.csv'}")
    say(f"{'page':22} {output / 'report.html'}")
    return 0


def _summarise(dataset: Any) -> Report:
    summary: Report = module_of_dataset("viz", component_name(dataset), "report").summarise(dataset)
    return summary
