"""Folders are listed from memory for as long as they have not changed."""

from __future__ import annotations

import os
import time

import pytest

from mapanything_data.storage.folder_listing import FolderListing, memory_file

LONG_AGO = time.time() - 3600


def settle(*folders):
    """As if nothing had changed in them for an hour."""
    for folder in folders:
        os.utime(folder, (LONG_AGO, LONG_AGO))


def list_again(root, memory):
    """The names in `root/a` and how many folders had to be read for them."""
    listing = FolderListing(root, memory)
    names = list(listing.entries(root / "a"))
    listing.remember()
    return names, listing.read


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root" / "a"
    folder.mkdir(parents=True)
    (folder / "two").touch()
    (folder / "one").touch()
    settle(folder)
    return tmp_path / "root"


def test_names_are_sorted_and_told_apart(root):
    (root / "a" / "folder").mkdir()
    (root / "a" / "good link").symlink_to(root / "a" / "one")
    (root / "a" / "bad link").symlink_to(root / "nowhere")

    assert dict(FolderListing(root, None).entries(root / "a")) == {
        "bad link": "unreadable",
        "folder": "folder",
        "good link": "file",
        "one": "file",
        "two": "file",
    }


def test_an_unchanged_folder_is_not_read_again(root, tmp_path):
    assert list_again(root, tmp_path / "memory") == (["one", "two"], 1)
    assert list_again(root, tmp_path / "memory") == (["one", "two"], 0)


def kind_again(root, memory, name):
    listing = FolderListing(root, memory)
    kind = listing.entries(root / "a")[name]
    listing.remember()
    return kind


def test_a_link_is_followed_anew_each_time(root, tmp_path):
    target = tmp_path / "disk"
    (root / "a" / "link").symlink_to(target)
    settle(root / "a")

    assert kind_again(root, tmp_path / "memory", "link") == "unreadable"
    target.mkdir()  # the disk is mounted: the folder of the link does not change
    assert kind_again(root, tmp_path / "memory", "link") == "folder"
    target.rmdir()
    target.touch()
    assert kind_again(root, tmp_path / "memory", "link") == "file"
    target.unlink()
    assert kind_again(root, tmp_path / "memory", "link") == "unreadable"


def test_what_is_unreadable_is_asked_anew_each_time(root, tmp_path):
    os.mkfifo(root / "a" / "pipe")
    settle(root / "a")

    assert list_again(root, tmp_path / "memory") == (["one", "pipe", "two"], 1)
    assert list_again(root, tmp_path / "memory") == (["one", "pipe", "two"], 1)


def test_a_new_file_and_a_removed_one_are_seen(root, tmp_path):
    list_again(root, tmp_path / "memory")
    (root / "a" / "three").touch()
    (root / "a" / "one").unlink()

    assert list_again(root, tmp_path / "memory") == (["three", "two"], 1)


def test_a_folder_that_has_just_changed_is_not_remembered(root, tmp_path):
    # A second change within the same tick of the file system's clock would not show in the folder's time.
    os.utime(root / "a")
    list_again(root, tmp_path / "memory")

    assert list_again(root, tmp_path / "memory")[1] == 1


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"version": 0}', '{"version": 1, "folders": {"a": 3}}'])
def test_a_damaged_memory_is_no_memory(root, tmp_path, damage):
    (tmp_path / "memory").write_text(damage)

    assert list_again(root, tmp_path / "memory") == (["one", "two"], 1)


def test_a_memory_that_cannot_be_written_is_done_without(root, tmp_path):
    (tmp_path / "file").touch()

    assert list_again(root, tmp_path / "file" / "memory") == (["one", "two"], 1)


def test_every_root_has_a_memory_of_its_own_below_the_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    assert memory_file(tmp_path / "a").is_relative_to(tmp_path / "cache")
    assert memory_file(tmp_path / "a") != memory_file(tmp_path / "b")
