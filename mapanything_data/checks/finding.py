"""What a check found, and how bad it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any


class Severity(str, Enum):
    """How bad a finding is; a verdict is the worst of its findings."""

    ok = "OK"
    """nothing was found"""
    warn = "WARN"
    """look at it before you train on the data"""
    fail = "FAIL"
    """the data are wrong or incomplete"""

    @property
    def exit_code(self) -> int:
        """What the check app leaves with: 0, 3 or 4, so that a script can tell a warning from wrong data."""
        return {"OK": 0, "WARN": 3, "FAIL": 4}[self.value]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        severity: `warn` or `fail`.
        check: Which check found it, such as `black`.
        item: What it is about, such as `segment_00` or `segment_00/raw/000012.png`.
        found: What was found, with numbers.
        remedy: What to do about it.
    """

    severity: Severity
    check: str
    item: str
    found: str
    remedy: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "severity": self.severity.value}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Finding:
        """The finding that `to_dict` described."""
        return cls(**{**values, "severity": Severity(values["severity"])})


def worst(findings: Iterable[Finding]) -> Severity:
    """The verdict on a set of findings."""
    order = list(Severity)
    return max((finding.severity for finding in findings), key=order.index, default=Severity.ok)
