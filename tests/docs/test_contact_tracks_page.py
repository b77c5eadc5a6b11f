"""The page on contact tracks says what the code has, and its example runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from contact_motions import random_motion

from mapanything_data.storage.contact_tracks import DERIVED, STORED, write_tracks
from mapanything_data.storage.droid.extrinsics import KEYS

PAGE = (Path(__file__).parents[2] / "docs" / "contact_tracks.md").read_text(encoding="utf-8")


def test_the_tables_of_keys_are_those_of_the_code():
    for keys in (STORED, DERIVED):
        rows = [
            f"| `{name}` | {f'[{key.shape}]' if key.shape else ''} | {key.dtype} | {key.meaning} |"
            for name, key in keys.items()
        ]
        assert "\n".join(["|---|---|---|---|", *rows, ""]) in PAGE
    assert "\n".join(["|---|---|", *(f"| `{name}` | {meaning} |" for name, meaning in KEYS.items()), ""]) in PAGE


def test_the_example_runs(tmp_path, monkeypatch, capsys):
    pytest.importorskip("isal")
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (path,) = re.findall(r'Path\("(.*?)"\)', example)
    monkeypatch.chdir(tmp_path)
    Path(path).parent.mkdir(parents=True)
    write_tracks(Path(path), random_motion(0), format="compact")
    names: dict[str, object] = {}
    exec(compile(example, "contact_tracks.md", "exec"), names)
    assert names["left"].shape == names["right"].shape == (12, 5, 3)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["11", "12", "13"]
