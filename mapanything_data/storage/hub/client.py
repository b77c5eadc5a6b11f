"""What the uploader asks of the Hugging Face hub, with each failure sorted by what to do about it.

One request is one attempt here: trying again is the uploader's business, except for what huggingface_hub itself tries
again while it sends contents.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from json import JSONDecodeError
from typing import Any, TypeVar

from mapanything_data.errors import DataError, require
from mapanything_data.storage.hub.batch import Upload
from mapanything_data.storage.hub_options import HubOptions

PATHS_AT_ONCE = 500
"""The hub refuses more than 1,000 paths in one question."""

T = TypeVar("T")
_SHORTEST_TOKEN = 8


class TransientError(Exception):
    """The hub, or the way to it, failed; the same request may work later.

    Args:
        text: What happened.
        retry_after: Seconds that the hub asks to wait, where it does.
    """

    def __init__(self, text: str, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class HeadMovedError(Exception):
    """The branch is no longer at the commit that ours was made for, so ours was not applied."""


class RepoMissingError(Exception):
    """There is no such repository or branch, as far as this token may see."""


class BatchRefusedError(DataError):
    """The hub does not take these files; it may take others."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """What the hub says of a file.

    Attributes:
        size: In bytes.
        sha256: Of a large file's content; None for small ones.
        git_sha1: The id of a small file's content in git.
    """

    size: int
    sha256: str | None
    git_sha1: str

    def holds(self, upload: Upload) -> bool:
        """Whether its content is what we have."""
        same = self.sha256 == upload.sha256 if self.sha256 else self.git_sha1 == upload.git_sha1
        return same and self.size == upload.size


class HubClient:
    """The hub, for the repositories of one configuration.

    Args:
        hub: The options.

    Raises:
        MissingDependencyError: huggingface_hub is not installed.
        ConfigError: The file with the token cannot be read.
    """

    def __init__(self, hub: HubOptions) -> None:
        require("huggingface_hub")
        switch_off_xet_elsewhere()
        import huggingface_hub
        from huggingface_hub.utils import disable_progress_bars

        self._hub = hub
        self._token = hub.token() or huggingface_hub.get_token()
        self._api = huggingface_hub.HfApi(token=self._token)
        set_request_timeout(hub.request_timeout_s)
        disable_progress_bars()
        silence_request_logs()

    def head(self, repo: str) -> str | None:
        """The commit that the branch is at; None where it has none."""
        info = self._ask(repo, lambda: self._api.repo_info(repo, revision=self._hub.revision, repo_type=self._kind))
        return str(info.sha) if info.sha else None

    def create(self, repo: str) -> None:
        """Make the repository and the branch, unless they are there."""
        self._ask(
            repo,
            lambda: self._api.create_repo(repo, repo_type=self._kind, private=self._hub.private, exist_ok=True),
        )
        if self._hub.revision != "main":
            branch = self._hub.revision
            self._ask(repo, lambda: self._api.create_branch(repo, branch=branch, repo_type=self._kind, exist_ok=True))

    def look_up(self, repo: str, paths: Sequence[str], commit: str | None) -> dict[str, RemoteFile]:
        """What the hub has of some files at a commit; files that it has not are left out."""
        found = {}
        for start in range(0, len(paths), PATHS_AT_ONCE):
            some = list(paths[start : start + PATHS_AT_ONCE])
            for info in self._ask(repo, lambda some=some: self._paths_info(repo, some, commit)):  # type: ignore[misc]
                if hasattr(info, "blob_id"):  # a folder has none
                    sha256 = info.lfs.sha256 if info.lfs else None
                    found[info.path] = RemoteFile(info.size, sha256, info.blob_id)
        return found

    def commit(self, repo: str, uploads: Sequence[tuple[str, Upload]], message: str, parent: str | None) -> str:
        """Send files and commit them, unless the branch has moved away from `parent`.

        Naming the parent makes it harmless to send a commit again whose answer was lost: the hub applies one of them.

        Args:
            repo: Such as me/droid-full.
            uploads: Path in the repository, file.
            message: First line of the commit.
            parent: The commit that the branch must be at.

        Returns:
            The new commit, or the present one where nothing had to change.
        """
        from huggingface_hub import CommitOperationAdd

        try:
            operations = [CommitOperationAdd(path_in_repo=path, path_or_fileobj=each.local) for path, each in uploads]
        except (OSError, ValueError) as error:
            raise TransientError(f"a file cannot be read any more: {error}") from error
        for operation, (_, upload) in zip(operations, uploads, strict=True):
            operation.upload_info.sha256 = bytes.fromhex(upload.sha256)
        info = self._ask(
            repo,
            lambda: self._api.create_commit(
                repo,
                operations,
                commit_message=message,
                repo_type=self._kind,
                revision=self._hub.revision,
                parent_commit=parent,
            ),
        )
        return str(info.oid)

    @property
    def _kind(self) -> str:
        return self._hub.repo_type.value

    def _paths_info(self, repo: str, paths: list[str], commit: str | None) -> list[Any]:
        revision = commit or self._hub.revision
        return list(self._api.get_paths_info(repo, paths, revision=revision, repo_type=self._kind))

    def _ask(self, repo: str, request: Callable[[], T]) -> T:
        try:
            return request()
        except Exception as error:  # noqa: BLE001 - sorted here, whatever the library raises
            raise self._sorted(repo, error) from None  # the cause could show the token

    def _sorted(self, repo: str, error: Exception) -> Exception:
        root = _root_of(error)
        said = re.sub(r" For more information check: \S+", "", " ".join(str(root).split()))
        text = self._without_token(f"{type(root).__name__}: {said}")
        response: Any = getattr(root, "response", None)
        if response is None:
            passing = isinstance(root, (OSError, JSONDecodeError)) or "http" in type(root).__module__
            return TransientError(text) if passing else _refusal(repo, text)
        status = int(response.status_code)
        if status == 412:
            return HeadMovedError(text)
        if status in (408, 409, 423, 425, 429) or status >= 500:
            return TransientError(f"{status}, {text}", retry_after(response.headers))
        if status == 404:
            return RepoMissingError(text)
        return _refusal(repo, text, status)

    def _without_token(self, text: str) -> str:
        # What is so short is no token, and would make every text unreadable.
        return text.replace(self._token, "***") if self._token and len(self._token) >= _SHORTEST_TOKEN else text


def retry_after(headers: Any) -> float | None:
    """Seconds that an answer asks to wait: from Retry-After (seconds or a date), or RateLimit's `t`."""
    value = headers.get("Retry-After")
    if value is not None:
        try:
            return max(float(value), 0.0)
        except ValueError:
            pass
        try:
            return max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
        except (TypeError, ValueError):
            return None
    for part in str(headers.get("RateLimit", "")).split(";"):
        name, _, number = part.strip().partition("=")
        if name == "t" and number.isdigit():
            return float(number)
    return None


def switch_off_xet_elsewhere() -> None:
    """Take the xet protocol from the client where HF_ENDPOINT names another server than the hub: it would hang there.

    What the user says in HF_HUB_DISABLE_XET stands.
    """
    if "HF_HUB_DISABLE_XET" in os.environ:
        return
    import huggingface_hub.constants

    host = huggingface_hub.constants.ENDPOINT.partition("://")[2].partition("/")[0].partition(":")[0]
    if host != "huggingface.co" and not host.endswith((".huggingface.co", ".hf.co")):
        huggingface_hub.constants.HF_HUB_DISABLE_XET = True


def silence_request_logs() -> None:
    """Keep addresses out of the logs: those for contents are signed and let anybody write. The journal says it."""
    for name, least in {"huggingface_hub": logging.ERROR, "httpx": logging.WARNING, "httpx2": logging.WARNING}.items():
        logging.getLogger(name).setLevel(least)


def set_request_timeout(seconds: float) -> None:
    """Let requests of huggingface_hub end when the other side is silent; its own client waits for ever."""
    import huggingface_hub

    kind = type(huggingface_hub.get_session())
    hooks = huggingface_hub.get_session().event_hooks
    huggingface_hub.set_client_factory(lambda: kind(event_hooks=hooks, follow_redirects=True, timeout=seconds))


def _root_of(error: BaseException) -> BaseException:
    """What lies behind "Error while uploading ... to the Hub"."""
    while isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _refusal(repo: str, text: str, status: int | None = None) -> DataError:
    remedies = {
        401: "give a token that is valid: HF_TOKEN, hub.token_file, or `hf auth login`",
        403: "give a token that may write to this repository",
    }
    remedy = remedies.get(status or 0, "correct what it names, then run the same command again")
    kind = BatchRefusedError if status in (400, 413, 422) else DataError
    found = f"the hub refuses: {text}" if status else f"huggingface_hub fails: {text}"
    return kind(repo, found, remedy=remedy)
