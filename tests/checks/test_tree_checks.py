"""A tree of data is listed with its links; what leads nowhere or is empty is found; nothing is written into it."""

from __future__ import annotations

import os

import pytest

from mapanything_data.checks.tree import Checks
from mapanything_data.engine.executors.inline import InlineExecutor
from mapanything_data.errors import ConfigError, DataError
from mapanything_data.stages.check import CheckConfig, check
from mapanything_data.storage.tree import TreeDataset, read_tree


def checks_of(root, **options):
    return Checks(TreeDataset(root=str(root), **options))


def findings(root, **options):
    return [(f.severity.value, f.check, f.item) for f in checks_of(root, **options).check_whole()]


def run_check(root, **options) -> int:
    dataset = TreeDataset(root=str(root))
    return check(CheckConfig(machine={}, dataset=dataset, executor=InlineExecutor(), output=str(root), **options))


@pytest.fixture
def root(tmp_path):
    """data/opv2v -> real/OPV2V with three files in two folders, data/README.md."""
    for name, size in (("train/a.png", 1000), ("train/b.PNG", 500), ("test/c.yaml", 10)):
        path = tmp_path / "real" / "OPV2V" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(size))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "README.md").write_text("links")
    (tmp_path / "data" / "opv2v").symlink_to(tmp_path / "real" / "OPV2V")
    return tmp_path / "data"


def test_files_sizes_and_kinds_are_counted_through_links(root):
    tree = read_tree(TreeDataset(root=str(root)))

    assert (tree.files, tree.size, dict(tree.kinds)) == (4, 1515, {".md": 1, ".png": 2, ".yaml": 1})
    assert [(folder.name, folder.files) for folder in tree.walk()][1:] == [
        ("opv2v", 3), ("opv2v/test", 1), ("opv2v/train", 2),
    ]  # fmt: skip


def test_the_listing_says_where_links_lead(root, tmp_path):
    listing = checks_of(root).describe()

    assert f"opv2v/ -> {tmp_path / 'real' / 'OPV2V'} (exists)" in listing
    assert "2 png" in listing
    assert findings(root) == []


def test_a_link_to_nowhere_fails(root, tmp_path):
    (root / "droid").symlink_to(tmp_path / "absent")

    assert findings(root) == [("FAIL", "link", "droid")]
    assert f"droid -> {tmp_path / 'absent'} (does not exist)" in checks_of(root).describe()


def test_a_link_to_nowhere_below_the_listed_levels_fails_as_well(root, tmp_path):
    (tmp_path / "real" / "OPV2V" / "train" / "x.png").symlink_to(tmp_path / "absent")

    assert findings(root, max_depth=1) == [("FAIL", "link", "opv2v/train/x.png")]


def test_an_empty_folder_is_a_warning(root):
    (root / "new").mkdir()

    assert findings(root) == [("WARN", "empty", "new")]


@pytest.mark.parametrize("max_depth", [1, 4])
def test_links_that_lead_back_do_not_hang(root, tmp_path, max_depth):
    (tmp_path / "real" / "OPV2V" / "train" / "back").symlink_to(root)
    (tmp_path / "real" / "OPV2V" / "train" / "self").symlink_to("self")

    tree = read_tree(TreeDataset(root=str(root), max_depth=max_depth))

    assert tree.files == 4
    assert findings(root, max_depth=max_depth) == [("FAIL", "link", "opv2v/train/self")]


def test_a_folder_behind_two_links_is_counted_once(root, tmp_path):
    (root / "zweit").symlink_to(tmp_path / "real" / "OPV2V")

    tree = read_tree(TreeDataset(root=str(root)))

    assert tree.files == 4
    assert tree.folders[1].problem == "listed already under another name"
    assert not tree.folders[1].is_unreadable


def test_deeper_folders_are_counted_but_not_listed(root):
    tree = read_tree(TreeDataset(root=str(root), max_depth=1))

    assert [(folder.name, folder.files) for folder in tree.walk()] == [("", 4), ("opv2v", 3)]


def test_counting_stops_at_max_files(root):
    tree = read_tree(TreeDataset(root=str(root), max_files=2))

    assert tree.folders[0].more
    assert "more than 2 files" in checks_of(root, max_files=2).describe()


def test_a_folder_that_may_not_be_read_fails(root, monkeypatch):
    (root / "secret").mkdir()
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("secret"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)

    assert findings(root) == [("FAIL", "unreadable", "secret")]


def test_many_findings_are_summed_up(root):
    for number in range(130):
        (root / f"{number:03d}").mkdir()

    found = checks_of(root).check_whole()

    assert len(found) == 101
    assert found[-1].found.startswith("30 more empty folders")


@pytest.mark.parametrize("quick", [False, True])
def test_the_exit_code_tells_and_nothing_is_written(root, tmp_path, capsys, quick):
    before = sorted(tmp_path.rglob("*"))
    assert run_check(root, quick=quick) == 0
    (root / "droid").symlink_to(tmp_path / "absent")
    assert run_check(root, quick=quick) == 4
    (root / "droid").unlink()

    assert sorted(tmp_path.rglob("*")) == before
    assert f"FAIL  droid: leads to {tmp_path / 'absent'}, which does not exist" in capsys.readouterr().out


def test_a_root_that_is_none_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be listed"):
        run_check(tmp_path / "absent")


@pytest.mark.parametrize("option", ["max_depth", "max_files"])
def test_numbers_below_one_are_refused(option):
    with pytest.raises(ConfigError, match=option):
        TreeDataset(root="data", **{option: 0})
