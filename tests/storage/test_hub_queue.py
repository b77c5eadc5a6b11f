"""The queue on the disk: what a kill may leave is understood, what is damaged is named."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from upload_trees import META, episode, files_of, metadata_of, upload, uploader, write_episode

from mapanything_data.errors import DataError
from mapanything_data.storage.hub import BatchesOnDisk, OutputTree, find_items, upload_folder
from mapanything_data.storage.hub.budget import CommitBudget

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "droid"
    for number in range(3):
        write_episode(root, number)
    return root


def items(root):
    return list(find_items(OutputTree(root, "quality.json", lambda key: key)))


def test_items_are_found_in_order_with_all_their_files(root):
    assert [item.key for item in items(root)] == [episode(0), episode(1), episode(2)]
    assert list(items(root)[0].files) == [
        "extrinsics.npz",
        "quality.json",
        "tracks.npz",
        "recordings/23404442/depth.mkv",
        "recordings/23404442/depth_meta.json",
        "recordings/23404442/intrinsics.json",
    ]


def test_a_batch_lists_every_file_with_size_and_sha256(hub, root):
    upload(root)

    first = json.loads(min((upload_folder(root) / "confirmed").glob("*.json")).read_text())
    (tracks,) = [file for file in first["items"][episode(0)] if file["path"] == "tracks.npz"]
    content = files_of(root)[f"{episode(0)}/tracks.npz"]
    assert tracks["size"] == 3000
    assert hub.content(tracks["sha256"]) == content
    assert first["deliveries"]["full"]["to"] == "me/full@main:"
    assert len(first["deliveries"]["full"]["commit"]) == 40


def test_a_torn_line_of_the_journal_and_unfinished_files_are_tidied_up(hub, root):
    upload(root)
    folder = upload_folder(root)
    whole = (folder / "journal.jsonl").read_bytes()
    (folder / "journal.jsonl").write_bytes(whole + b'{"utc": "20')
    (folder / "staged" / ".unfinished-1-x.json").write_text("{")

    BatchesOnDisk(root)

    assert (folder / "journal.jsonl").read_bytes() == whole
    assert list((folder / "staged").iterdir()) == []


def test_a_batch_that_was_damaged_is_named_with_what_to_do(hub, root):
    upload(root)
    path = min((upload_folder(root) / "confirmed").glob("*.json"))
    path.write_text('{"version": 1, "items": 3}')

    with pytest.raises(DataError, match="is no batch") as caught:
        BatchesOnDisk(root)
    assert str(path) in str(caught.value)

    path.unlink()  # as it says
    before = len(hub.commits)
    upload(root)
    assert len(hub.commits) == before  # the hub had it all


def test_a_batch_of_a_later_version_is_refused(hub, root):
    upload(root)
    path = min((upload_folder(root) / "confirmed").glob("*.json"))
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))

    with pytest.raises(DataError, match="is a batch of version 2"):
        BatchesOnDisk(root)


def test_a_repository_that_is_no_longer_named_is_not_waited_for(hub, root):
    hub.plan.chances["info"] = {"503": 1.0}
    upload(root, max_retries=0)
    assert len(BatchesOnDisk(root).open) == 2
    hub.plan.chances.clear()

    upload(root, full_repo="")

    assert BatchesOnDisk(root).open == {}
    assert hub.files(META) == metadata_of(files_of(root))


def test_looking_into_the_queue_changes_nothing(root):
    BatchesOnDisk(root, writable=False)

    assert not upload_folder(root).exists()


def test_an_item_is_known_by_its_newest_batch(hub, root):
    upload(root)
    write_episode(root, 1, seed=5)
    upload(root)
    write_episode(root, 1)  # as it was at first; the repositories have the other

    work = uploader(root)

    assert [item.key for item in items(root) if not work.batches.knows(item)] == [episode(1)]


@given(
    sent=st.lists(st.floats(0, 20_000), max_size=60),
    per_hour=st.integers(1, 20),
    more=st.integers(1, 40),
)
def test_no_hour_ever_holds_more_commits_than_the_budget(sent, per_hour, more):
    # What was sent before may exceed it: the limit was higher then. What is sent now never does.
    now, ours = 20_000.0, []
    budget = CommitBudget(per_hour, sent)
    for _ in range(more):
        wait = budget.wait(now)
        assert 0 <= wait <= 3600
        now += wait
        assert budget.wait(now) == pytest.approx(0, abs=1e-6)
        budget.spend(now)
        ours.append(now)

    everything = sorted([*sent, *ours])
    for end in ours:
        # A commit exactly an hour ago no longer counts; float additions may miss it by their rounding.
        assert sum(end - 3600 + 1e-6 < each <= end for each in everything) <= per_hour
