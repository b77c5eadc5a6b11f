"""A Hugging Face hub on loopback: commits, large files, look-ups, and every fault that an uploader must survive.

    with FakeHub(folder) as hub: ...                    in a test; hub.url is the HF_ENDPOINT
    python tests/storage/fake_hub.py --root DIR         as a process of its own; prints its address

Contents lie in DIR/objects by their sha256, commits in DIR/commits.jsonl, one line each, written when it is applied.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import fnmatch
import hashlib
import json
import random
import re
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

FAULTS = ("429", "503", "401", "413", "html", "drop", "drop_after", "stall", "stall_after", "late")
"""Answers with this status; HTML where JSON is due; a connection cut before or after the request is carried out;
silence for `stall_s` before or after it; a connection cut at once, and the request carried out `late_s` later."""

ROUTES = {
    ("POST", r"/api/repos/create"): "create",
    ("GET", r"/api/datasets/(?P<repo>[^/]+/[^/]+)(/revision/(?P<revision>[^/]+))?"): "info",
    ("POST", r"/api/datasets/(?P<repo>[^/]+/[^/]+)/branch/(?P<revision>[^/]+)"): "branch",
    ("POST", r"/api/datasets/(?P<repo>[^/]+/[^/]+)/preupload/(?P<revision>[^/]+)"): "preupload",
    ("POST", r"/api/datasets/(?P<repo>[^/]+/[^/]+)/commit/(?P<revision>[^/]+)"): "commit",
    ("POST", r"/api/datasets/(?P<repo>[^/]+/[^/]+)/paths-info/(?P<revision>[^/]+)"): "paths",
    ("GET", r"/api/datasets/(?P<repo>[^/]+/[^/]+)/tree/(?P<revision>[^/]+)"): "tree",
    ("POST", r"/datasets/(?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/batch"): "lfs",
    ("PUT", r"/objects/(?P<oid>[0-9a-f]{64})"): "put",
    ("POST", r"/verify"): "verify",
    ("GET", r"/datasets/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)"): "resolve",
}


@dataclass
class Plan:
    """Which requests go wrong: by route, those named next, then by chance with these probabilities.

    Routes of `absent` are not there, as in servers that take commits and tell nothing.
    """

    seed: int = 0
    chances: dict[str, dict[str, float]] = field(default_factory=dict)
    next: dict[str, list[str]] = field(default_factory=dict)
    retry_after: str = "0"
    absent: tuple[str, ...] = ()
    stall_s: float = 0.5
    late_s: float = 0.3

    def __post_init__(self):
        self._random = random.Random(self.seed)

    def fault(self, route: str) -> str:
        if self.next.get(route):
            return self.next[route].pop(0)
        draw = self._random.random()
        for fault, chance in self.chances.get(route, {}).items():
            draw -= chance
            if draw < 0:
                return fault
        return ""


@dataclass
class Commit:
    repo: str
    oid: str
    parent: str
    summary: str
    files: dict[str, str]
    """sha256 of what this commit adds, by path."""
    tree: dict[str, str]
    """sha256 of everything, by path."""


class FakeHub:
    """The server; all state is behind one lock.

    Args:
        folder: Where contents and commits are kept.
        plan: What goes wrong.
        port: 0 takes a free one.
        token: Requests without it are refused; None lets everybody in.
        lfs_over: Files of more bytes, and tar files and videos, go the way of large files.
        ignored: Patterns of files that the repository's .gitignore names.
    """

    def __init__(self, folder, plan=None, *, port=0, token=None, lfs_over=2000, ignored=()):
        self.folder = Path(folder)
        (self.folder / "objects").mkdir(parents=True, exist_ok=True)
        self.plan = plan or Plan()
        self.token = token
        self.lfs_over = lfs_over
        self.ignored = ignored
        self.commits: list[Commit] = []
        self.requests: list[tuple[str, str]] = []
        self.created: dict[str, dict] = {}
        self.heads: dict[tuple[str, str], str] = {}
        self.large: set[str] = set()
        self.lock = threading.RLock()
        self.server = ThreadingHTTPServer(("127.0.0.1", port), type("Handler", (_Handler,), {"hub": self}))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def files(self, repo, revision="main") -> dict[str, bytes]:
        """Everything in a repository, byte for byte; without the .gitattributes that each is born with."""
        with self.lock:
            tree = self.commit(repo, revision).tree
        return {path: self.content(sha) for path, sha in tree.items() if path != ".gitattributes"}

    def history(self, repo) -> list[Commit]:
        """The commits that uploads made, the oldest first."""
        return [commit for commit in self.commits if commit.repo == repo and commit.summary != "initial commit"]

    def doubled(self, repo) -> list[str]:
        """Files that were committed more than once with the same content."""
        seen = [(path, sha) for commit in self.history(repo) for path, sha in commit.files.items()]
        return sorted({path for path, sha in seen if seen.count((path, sha)) > 1})

    def count(self, route) -> int:
        return sum(1 for name, _ in self.requests if name == route)

    def content(self, sha) -> bytes:
        return (self.folder / "objects" / sha).read_bytes()

    def keep(self, content) -> str:
        sha = hashlib.sha256(content).hexdigest()
        temporary = self.folder / "objects" / f".{sha}-{threading.get_ident()}"
        temporary.write_bytes(content)
        temporary.replace(self.folder / "objects" / sha)
        return sha

    def commit(self, repo, revision) -> Commit:
        oid = self.heads.get((repo, revision), revision)
        return next(commit for commit in reversed(self.commits) if commit.repo == repo and commit.oid == oid)

    def create(self, repo, private):
        self.created[repo] = {"private": private}
        self.apply(repo, "main", "", "initial commit", {".gitattributes": self.keep(b"*.mkv filter=lfs\n")})

    def apply(self, repo, revision, parent, summary, files) -> Commit:
        tree = {**(self.commit(repo, parent).tree if parent else {}), **files}
        text = json.dumps([repo, parent, summary, files, len(self.commits)])
        commit = Commit(repo, hashlib.sha1(text.encode()).hexdigest(), parent, summary, files, tree)
        self.commits.append(commit)
        self.heads[repo, revision] = commit.oid
        line = {"repo": repo, "oid": commit.oid, "parent": parent, "summary": summary, "files": files}
        with (self.folder / "commits.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        return commit

    def describe(self, path, sha) -> dict:
        content = self.content(sha)
        if sha in self.large:
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha}\nsize {len(content)}\n".encode()
            lfs = {"oid": sha, "size": len(content), "pointerSize": len(pointer)}
            return {"type": "file", "path": path, "size": len(content), "oid": git_oid(pointer), "lfs": lfs}
        return {"type": "file", "path": path, "size": len(content), "oid": git_oid(content)}


def git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _RefusedError(Exception):
    def __init__(self, status, text, code=""):
        super().__init__(text)
        self.status, self.text, self.code = status, text, code


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def handle(self):
        with contextlib.suppress(ConnectionError, BrokenPipeError, socket.timeout, ValueError):
            super().handle()

    def do_GET(self):
        self._serve()

    do_POST = do_PUT = do_GET

    def _serve(self):
        address = urlsplit(self.path)
        matches = {
            route: re.fullmatch(pattern, address.path)
            for (method, pattern), route in ROUTES.items()
            if method == self.command
        }
        route, match = next(((route, match) for route, match in matches.items() if match), ("", None))
        if match is None or route in self.hub.plan.absent:
            self._body()
            self._answer(404, {"error": f"no such route: {self.command} {self.path}"})
            return
        names = {name: unquote(value) for name, value in match.groupdict().items() if value is not None}
        body = self._body()
        with self.hub.lock:
            self.hub.requests.append((route, self.path))
            fault = self.hub.plan.fault(route)
        self._serve_with(fault, route, names, body)

    def _serve_with(self, fault, route, names, body):
        plan = self.hub.plan
        if fault == "stall":
            time.sleep(plan.stall_s)
        if fault in ("drop", "stall", "late"):
            if fault == "late":
                threading.Timer(plan.late_s, self._carry_out, (route, names, body)).start()
            self._cut()
        elif fault in ("drop_after", "stall_after"):
            self._carry_out(route, names, body)
            time.sleep(plan.stall_s if fault == "stall_after" else 0)
            self._cut()
        elif fault == "html":
            self._answer(200, b"<html>a proxy says hello</html>", kind="text/html")
        elif fault:
            headers = {"Retry-After": plan.retry_after} if fault in ("429", "503") and plan.retry_after else {}
            echo = self.headers.get("Authorization", "")
            self._answer(int(fault), {"error": f"planned {fault}, asked with {echo}"}, headers)
        else:
            self._answer(*self._carry_out(route, names, body))

    def _carry_out(self, route, names, body):
        try:
            invited = route == "put" or self.headers.get("Authorization") == f"Bearer {self.hub.token}"
            if self.hub.token and not invited:
                raise _RefusedError(401, "Invalid credentials in Authorization header")
            with self.hub.lock:
                return 200, getattr(self, f"_{route}")(body=body, **names)
        except _RefusedError as refused:
            return refused.status, {"error": refused.text}, {"X-Error-Code": refused.code} if refused.code else {}

    def _create(self, body):
        asked = json.loads(body)
        repo = f"{asked['organization']}/{asked['name']}"
        if repo in self.hub.created:
            raise _RefusedError(409, "You already created this dataset repo")
        self.hub.create(repo, asked.get("visibility") == "private" or asked.get("private", False))
        return {"url": f"{self.hub.url}/datasets/{repo}"}

    def _info(self, body, repo, revision="main"):
        commit = self._at(repo, revision)
        return {"id": repo, "sha": commit.oid, "private": self.hub.created[repo]["private"], "tags": []}

    def _branch(self, body, repo, revision):
        self.hub.heads[repo, revision] = self._at(repo, "main").oid
        return {}

    def _preupload(self, body, repo, revision):
        tree = self._at(repo, revision).tree
        return {"files": [self._mode(each, tree.get(each["path"])) for each in json.loads(body)["files"]]}

    def _mode(self, asked, sha):
        path = asked["path"]
        large = asked["size"] > self.hub.lfs_over or path.endswith((".tar", ".mkv"))
        oid = None if sha is None else sha if sha in self.hub.large else git_oid(self.hub.content(sha))
        ignored = any(fnmatch.fnmatch(path, pattern) for pattern in self.hub.ignored)
        return {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": ignored, "oid": oid}

    def _lfs(self, body, repo):
        self._at(repo, "main")
        objects = []
        for each in json.loads(body)["objects"]:
            answer = {"oid": each["oid"], "size": each["size"]}
            if not (self.hub.folder / "objects" / each["oid"]).exists():
                upload = {"href": f"{self.hub.url}/objects/{each['oid']}?signature=secret"}
                answer["actions"] = {"upload": upload, "verify": {"href": f"{self.hub.url}/verify"}}
            objects.append(answer)
        return {"transfer": "basic", "objects": objects}

    def _put(self, body, oid):
        if hashlib.sha256(body).hexdigest() != oid:
            raise _RefusedError(400, "the content has another sha256")
        self.hub.keep(body)
        return {}

    def _verify(self, body):
        asked = json.loads(body)
        if not (self.hub.folder / "objects" / asked["oid"]).exists():
            raise _RefusedError(404, "no such object")
        return {}

    def _commit(self, body, repo, revision):
        head = self._at(repo, revision)
        header, *operations = [json.loads(line) for line in body.splitlines()]
        parent = header["value"].get("parentCommit")
        if parent is not None and parent != head.oid:
            raise _RefusedError(412, "A commit has happened since. Please refresh and try again.")
        files = {}
        for operation in operations:
            value = operation["value"]
            if operation["key"] == "lfsFile":
                if not (self.hub.folder / "objects" / value["oid"]).exists():
                    raise _RefusedError(400, f"{value['path']}: its content was not uploaded")
                self.hub.large.add(value["oid"])
                files[value["path"]] = value["oid"]
            else:
                files[value["path"]] = self.hub.keep(base64.b64decode(value["content"]))
        commit = self.hub.apply(repo, revision, head.oid, header["value"]["summary"], files)
        return {"commitUrl": f"{self.hub.url}/datasets/{repo}/commit/{commit.oid}", "commitOid": commit.oid}

    def _paths(self, body, repo, revision):
        tree = self._at(repo, revision).tree
        asked = parse_qs(body.decode())["paths"]
        if len(asked) > 1000:
            raise _RefusedError(413, "too many parameters")
        return [self.hub.describe(path, tree[path]) for path in asked if path in tree]

    def _tree(self, body, repo, revision):
        return [self.hub.describe(path, sha) for path, sha in sorted(self._at(repo, revision).tree.items())]

    def _resolve(self, body, repo, revision, path):
        tree = self._at(repo, revision).tree
        if path not in tree:
            raise _RefusedError(404, "Entry not found", "EntryNotFound")
        return self.hub.content(tree[path])

    def _at(self, repo, revision) -> Commit:
        if repo not in self.hub.created:
            raise _RefusedError(404, "Repository not found", "RepoNotFound")
        try:
            return self.hub.commit(repo, revision)
        except StopIteration:
            raise _RefusedError(404, f"Invalid rev id: {revision}", "RevisionNotFound") from None

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            size = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(size)
            if len(body) < size:
                raise ConnectionError("the client was killed while it sent this")
            return body
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):  # empty, so no number, where the client was killed
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, status, content, headers=None, kind="application/json"):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _cut(self):
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fault", action="append", default=[], help="ROUTE:FAULT:PROBABILITY, such as commit:503:0.1")
    arguments = parser.parse_args()
    chances: dict[str, dict[str, float]] = {}
    for text in arguments.fault:
        route, fault, chance = text.split(":")
        assert route in ROUTES.values(), route
        assert fault in FAULTS, fault
        chances.setdefault(route, {})[fault] = float(chance)
    hub = FakeHub(arguments.root, Plan(arguments.seed, chances), port=arguments.port)
    print(hub.url, flush=True)
    hub.server.serve_forever()


if __name__ == "__main__":
    main()
