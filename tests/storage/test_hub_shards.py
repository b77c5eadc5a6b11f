"""Shards: a few tar files with an index in place of many files, the same bytes in both repositories."""

from __future__ import annotations

import io
import json
import tarfile
import time

import pytest
from upload_trees import FULL, META, episode, files_of, metadata_of, upload, uploader, write_episode

from mapanything_data.errors import DataError
from mapanything_data.storage.hub import Member, read_shard_index, read_shard_member, shards, upload_folder

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "droid"
    for number in range(5):  # three of the first day, two of the second
        write_episode(root, number)
    return root


def sharded(root, **changes):
    return upload(root, layout=shards_layout(), batch_size=5, **changes)


def shards_layout():
    from mapanything_data.storage.hub_options import Layout

    return Layout.shards


def unpacked(files):
    """What the shards hold, of each file the one of the newest batch, read as a tar and by the index."""
    found = {}
    for path, content in sorted(files.items(), key=lambda each: each[0].rpartition("/")[2]):
        if path.endswith(".tar"):
            with tarfile.open(fileobj=io.BytesIO(content)) as tar:
                found.update({member.name: tar.extractfile(member).read() for member in tar})
            rows = [json.loads(line) for line in files[path[:-4] + ".jsonl"].splitlines()]
            for member in [Member(**row) for row in rows]:
                assert read_shard_member(io.BytesIO(content), member) == found[member.member]
    return found


def test_the_tar_files_of_a_batch_hold_the_tree_by_lab_and_date(hub, root):
    summary = sharded(root)

    (batch,) = [path.stem for path in (upload_folder(root) / "confirmed").glob("*.json")]
    stems = [f"shards/AUTOLab/2023-08-0{day}/{batch}-00" for day in (1, 2)]
    metadata = {f"{stem}.{ending}" for stem in stems for ending in ("tar", "jsonl")}
    depth = {f"{stem}.depth.{ending}" for stem in stems for ending in ("tar", "jsonl")}
    assert set(hub.files(FULL)) == metadata | depth
    assert set(hub.files(META)) == metadata
    assert unpacked(hub.files(FULL)) == files_of(root)
    assert unpacked(hub.files(META)) == metadata_of(files_of(root))
    assert all(hub.files(META)[path] == hub.files(FULL)[path] for path in metadata)
    assert (summary.items, len(hub.history(FULL)), len(hub.history(META))) == (5, 1, 1)
    assert not list((upload_folder(root) / "shards").rglob("*.tar"))


def test_one_member_is_read_without_the_rest(hub, root, tmp_path):
    sharded(root)
    for path, content in hub.files(FULL).items():
        (tmp_path / path.rpartition("/")[2]).write_bytes(content)
    name = f"{episode(4)}/recordings/23404442/depth.mkv"
    wanted = files_of(root)[name]

    found = []
    for index in tmp_path.glob("*.depth.jsonl"):
        member = read_shard_index(index).get(name)
        if member:
            tar = index.with_suffix(".tar")
            found.append(read_shard_member(tar, member))
            tar.write_bytes(tar.read_bytes().replace(wanted[:50], bytes(50)))
            with pytest.raises(DataError, match="is not what the index says"):
                read_shard_member(tar, member)

    assert found == [wanted]


def test_the_same_files_give_the_same_bytes_whatever_their_times_and_owners(hub, root, tmp_path):
    copy = tmp_path / "copy"
    for number in reversed(range(5)):
        write_episode(copy, number)
        (copy / episode(number) / "tracks.npz").chmod(0o600)

    sharded(root)
    sharded(copy)

    assert len(hub.history(FULL)) == 1  # nothing was new


def test_a_shard_that_grows_too_large_is_followed_by_another(hub, root, monkeypatch):
    monkeypatch.setattr(
        shards, "SHARD_BYTES", 8000
    )  # two episodes of 3,300 bytes of metadata, one depth video of 5,000

    sharded(root)

    names = [path.partition("-")[2].partition("/")[2] for path in hub.files(FULL) if path.endswith(".tar")]
    assert sorted(name[20:] for name in names) == sorted(
        ["00.tar", "01.tar", "00.tar", *(f"0{number}.depth.tar" for number in (0, 1, 2, 0, 1))]
    )
    assert unpacked(hub.files(FULL)) == files_of(root)


def test_an_episode_that_changes_before_it_is_packed_goes_with_a_later_batch(hub, root):
    work = uploader(root, layout=shards_layout(), batch_size=5)
    for target in work.targets:
        target.ready_at = time.time() + 60
    work.step(time.time(), no_more_to_come=True)
    assert list((upload_folder(root) / "staged").iterdir())
    for target in work.targets:
        target.ready_at = 0
    (root / episode(2) / "tracks.npz").write_bytes(bytes(3000))  # as long as it was
    (root / episode(3) / "tracks.npz").unlink()

    work.run(lambda: True)

    assert unpacked(hub.files(FULL)) == files_of(root)
    assert len(hub.history(FULL)) == 3  # the old batch, what has other content, what has fewer files


def test_what_changes_after_it_was_packed_is_the_same_in_both_repositories(hub, root):
    work = uploader(root, layout=shards_layout(), batch_size=5)
    work.step(time.time(), no_more_to_come=True)
    hub.plan.next["commit"] = ["", "503"]
    work.step(time.time(), no_more_to_come=True)
    assert (len(hub.history(FULL)), len(hub.history(META))) == (1, 0)
    write_episode(root, 2, seed=1)

    work.run(lambda: True)
    upload(root, layout=shards_layout())

    for path, content in hub.files(META).items():
        assert hub.files(FULL)[path] == content
    assert unpacked(hub.files(FULL)) == files_of(root)


def test_a_repository_that_is_named_later_receives_the_same_shards(hub, root):
    sharded(root, metadata_repo="")

    sharded(root)

    assert unpacked(hub.files(META)) == metadata_of(files_of(root))
    assert all(hub.files(FULL)[path] == content for path, content in hub.files(META).items())


def test_shards_of_a_killed_run_are_swept_away_when_their_batch_is_confirmed(hub, root):
    sharded(root)
    leftover = upload_folder(root) / "shards" / "000001-0123456789ab" / "half.tar"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half")

    sharded(root)

    assert not leftover.exists()


def test_local_files_are_deleted_when_their_shards_are_confirmed(hub, root):
    before = files_of(root)

    sharded(root, delete_after_upload=True)

    assert unpacked(hub.files(FULL)) == before
    assert {path.rpartition("/")[2] for path in files_of(root)} == {"quality.json"}


def test_an_index_of_something_else_is_refused(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"frame": 3}\n')

    with pytest.raises(DataError, match="is no index of a shard"):
        read_shard_index(tmp_path / "a.jsonl")
