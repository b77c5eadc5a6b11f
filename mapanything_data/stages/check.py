"""The check stage: finds what is wrong with a data set before anybody trains on it."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from mapanything_data import __version__
from mapanything_data.checks.finding import Finding, Severity, worst
from mapanything_data.checks.protocol import DatasetChecks, Describes
from mapanything_data.config.registry import component_name
from mapanything_data.engine import Report, RunOptions, Stats
from mapanything_data.engine.folder import records_folder
from mapanything_data.errors import ConfigError, DataError, require
from mapanything_data.stages.execute import absolute_path, execute, folder_of, module_of_dataset, say
from mapanything_data.storage.tables import read_json, write_csv, write_json

_SHOWN = 20


@dataclass(kw_only=True, slots=True)
class CheckConfig(RunOptions):
    """Configuration of the check app."""

    machine: Any = "???"
    """The machine profile."""
    dataset: Any = "???"
    """The data set to check."""
    executor: Any = "???"
    """Where the work runs."""
    output: str = "${dataset.root}"
    """Folder for check.json, check.tsv and the records; another one than the data set's when that is read-only."""
    again: bool = False
    """Check everything again, also what has not changed since the last check."""
    quick: bool = False
    """Only tell what is there, from names alone: nothing is opened and nothing written."""


def check(config: CheckConfig) -> int:
    """Check: find what is wrong with a data set before anybody trains on it.

    Prints OK, WARN or FAIL with every finding and its remedy, writes them to check.json and check.tsv, and leaves with
    exit code 0 (OK), 3 (WARN) or 4 (FAIL). Only what has changed since the last check is read again.

    Examples:
        python -m mapanything_data.check dataset=segments dataset.root=data/drive
        python -m mapanything_data.check dataset.root=/mnt/readonly/drive output=/tmp/drive-check executor=processes
        python -m mapanything_data.check dataset=opv2v dataset.root=/mnt/OPV2V quick=true
        python -m mapanything_data.check dataset=tree dataset.root=data
    """
    name = component_name(config.dataset)
    root = folder_of(config.dataset)
    checks = _checks_of(name, config.dataset)
    if config.quick and not isinstance(checks, Describes):
        raise ConfigError("quick", f"dataset={name} has no quick look", remedy="check it without quick=true")
    work = CheckWork(
        checks=checks,
        root=root,
        output=absolute_path("output", config.output),
        options=repr({key: value for key, value in asdict(config.dataset).items() if key != "root"}),
        again=config.again,
    )
    anything_to_run = bool(work.items())  # where there is no such data set, nothing is written either
    if isinstance(checks, Describes):
        say(checks.describe())
    if config.quick or not anything_to_run:
        findings = checks.check_whole()
        _print_findings(findings, None, "quick look (names only, nothing was opened)" if config.quick else "verdict")
        return worst(findings).exit_code
    summary = execute(work, config.executor, config)
    findings = work.findings(failed={*(entry.item for entry in summary.failures), *summary.failed_before})
    verdict = worst(findings)
    rows = [finding.to_dict() for finding in findings]
    counts = dict(Counter(row["severity"] for row in rows))
    facts = {"dataset": name, "root": str(root), "verdict": verdict.value, "counts": counts, "items": summary.total}
    write_json(work.output / "check.json", {**facts, "findings": rows})
    # Not a .csv: data sets may consist of such tables.
    write_csv(work.output / "check.tsv", [column.name for column in fields(Finding)], rows)
    _print_findings(findings, work.output / "check.json")
    return max(summary.exit_code, verdict.exit_code)


@dataclass(frozen=True, slots=True)
class CheckItem:
    """A part of the data set, by name."""

    key: str


@dataclass(slots=True)
class CheckWork:
    """Checks each item of a data set.

    Attributes:
        checks: The checks of the data set.
        root: The data set.
        output: Where findings are kept.
        options: The component's other options; under others, everything is checked again.
        again: Whether to check unchanged items, too.
    """

    checks: DatasetChecks
    root: Path
    output: Path
    options: str = ""
    again: bool = False
    name: str = "check"

    def items(self) -> list[CheckItem]:
        """The items that the dataset's checks name.

        Raises:
            DataError: There is no such data set.
        """
        return [CheckItem(name) for name in self.checks.item_names()]

    def done(self, item: CheckItem) -> bool:
        """Whether there are findings about exactly the files that are there now."""
        return not self.again and self._kept_findings(item) is not None

    def setup(self) -> None:
        """Make sure that what reads pictures is there.

        Raises:
            MissingDependencyError: A package is not installed.
        """
        require("cv2")

    def run(self, item: CheckItem, report: Report) -> Stats:
        """Check one item and keep its findings."""
        state = self._state(item)
        findings = self.checks.check_item(item.key, report)
        kept = self._kept(item)
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_json(kept, {"state": state, "findings": [finding.to_dict() for finding in findings]})
        return {}

    def findings(self, failed: Container[str]) -> list[Finding]:
        """All findings: about the whole, then item by item.

        Args:
            failed: Keys of items whose check failed. That is a finding, and so is an item that was not checked yet.
        """
        findings = self.checks.check_whole()
        for item in self.items():
            kept = self._kept_findings(item)
            if item.key in failed:
                remedy = "see the failures above; retry=failed checks it again"
                findings.append(Finding(Severity.fail, "unchecked", item.key, "could not be checked", remedy))
            elif kept is not None:
                findings += kept
            else:
                remedy = "run the check again without a limit"
                findings.append(Finding(Severity.warn, "unchecked", item.key, "has not been checked yet", remedy))
        return findings

    def _kept(self, item: CheckItem) -> Path:
        return records_folder(self.output, self.name) / "findings" / f"{item.key.replace('/', '~')}.json"

    def _kept_findings(self, item: CheckItem) -> list[Finding] | None:
        """What an earlier check found, or None unless it was about exactly the files that are there now."""
        try:
            kept = read_json(self._kept(item))
            if kept["state"] == self._state(item):
                return [Finding.from_dict(values) for values in kept["findings"]]
        except (DataError, KeyError, TypeError, ValueError):  # absent or damaged: the item is checked again
            return None
        return None

    def _state(self, item: CheckItem) -> str:
        # Another version may check more.
        digest = hashlib.blake2b(f"{__version__}\0{self.options}\0".encode(), digest_size=16)
        for path in sorted(self.checks.files(item.key)):
            try:
                facts = path.stat()
            except OSError:  # a capture that is under way renames its files; a link may lead nowhere
                continue
            # Some files lie beside the root. A name may hold bytes that are no text.
            name = os.fsencode(os.path.relpath(path, self.root))
            digest.update(b"%s\0%d\0%d\n" % (name, facts.st_size, facts.st_mtime_ns))
        return digest.hexdigest()


def _checks_of(name: str, dataset: Any) -> DatasetChecks:
    checks: DatasetChecks = module_of_dataset("checks", name, "checks").Checks(dataset)
    return checks


def _print_findings(findings: Sequence[Finding], file: Path | None, what: str = "verdict") -> None:
    """Print the worst ones first, and the verdict; `file` holds the rest, without one all are printed."""
    for severity in (Severity.fail, Severity.warn):
        those = [finding for finding in findings if finding.severity is severity]
        for finding in those[: _SHOWN if file else None]:
            say(f"{severity.value:4}  {finding.item}: {finding.found}\n      -> {finding.remedy}")
        if file and len(those) > _SHOWN:
            say(f"{severity.value:4}  ... and {len(those) - _SHOWN} more: see {file}")
    counts = Counter(finding.severity for finding in findings)
    told = ", ".join(f"{counts[s]} {s.value}" for s in (Severity.fail, Severity.warn) if counts[s]) or "nothing found"
    say(f"{what} {worst(findings).value}: {told}" + (f"  ({file})" if file else ""))
