"""One episode as its checks see it, and findings about it with the command that mends them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mapanything_data.checks.finding import Finding, Severity
from mapanything_data.errors import DataError
from mapanything_data.storage.droid import EpisodeFiles
from mapanything_data.storage.droid.results import ResultFiles


@dataclass(frozen=True, slots=True)
class Episode:
    """An episode of the tree.

    Attributes:
        files: Its folder.
        quality: What its quality.json says.
        recording: Where it was recorded; None where the recordings are out of reach or gone.
    """

    files: ResultFiles
    quality: Mapping[str, Any]
    recording: EpisodeFiles | None

    @property
    def steps(self) -> list[str]:
        """What was made."""
        steps: list[str] = self.quality["steps"]
        return steps

    @property
    def cameras(self) -> Mapping[str, Mapping[str, Any]]:
        """Serial to what quality.json says of the camera."""
        cameras: Mapping[str, Mapping[str, Any]] = self.quality["cameras"]
        return cameras

    def fail(self, check: str, where: str, found: str, remedy: str = "") -> Finding:
        """A failure. `where` is a file in the episode's folder, empty for all of it."""
        return self._finding(Severity.fail, check, where, found, remedy)

    def warn(self, check: str, where: str, found: str, remedy: str = "") -> Finding:
        """A warning."""
        return self._finding(Severity.warn, check, where, found, remedy)

    def unreadable(self, check: str, where: str, error: DataError) -> Finding:
        """What a reader says of a file."""
        inside = "" if error.where == str(self.files.folder / where) else f"{Path(error.where).name} "
        expected = f", expected {error.expected}" if error.expected else ""
        return self.fail(check, where, f"{inside}{error.found}{expected}")

    def remake(self, *steps: str) -> str:
        """The command that makes steps of the episode again."""
        told = ",".join(steps or self.steps or ("intrinsics", "tracks"))
        uuid = self.quality["episode"]["uuid"]
        return f"run mapanything_data.tracks as before, with steps=[{told}] episode={uuid} again=true"

    def _finding(self, severity: Severity, check: str, where: str, found: str, remedy: str) -> Finding:
        item = f"{self.files.name}/{where}" if where else self.files.name
        return Finding(severity, check, item, found, remedy or self.remake())
