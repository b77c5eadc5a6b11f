"""A fake hub in a process of its own, which outlives the kills of those who use it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


class HubProcess:
    """A fake hub in a process of its own; what it holds is read from its folder."""

    def __init__(self, folder, *faults, seed=0):
        self.folder = folder
        command = [
            sys.executable,
            str(Path(__file__).with_name("fake_hub.py")),
            "--root",
            str(folder),
            "--seed",
            str(seed),
        ]
        command += [part for fault in faults for part in ("--fault", fault)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def commits(self, repo):
        lines = (self.folder / "commits.jsonl").read_text().splitlines()
        commits = [json.loads(line) for line in lines]
        return [commit for commit in commits if commit["repo"] == repo and commit["summary"] != "initial commit"]

    def files(self, repo):
        tree = {path: sha for commit in self.commits(repo) for path, sha in commit["files"].items()}
        return {path: (self.folder / "objects" / sha).read_bytes() for path, sha in tree.items()}

    def doubled(self, repo):
        seen = [(path, sha) for commit in self.commits(repo) for path, sha in commit["files"].items()]
        return sorted({each for each in seen if seen.count(each) > 1})
