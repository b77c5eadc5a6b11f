"""Everything finished reaches both repositories, once, whatever the hub does."""

from __future__ import annotations

import json
import logging
import time
from email.utils import formatdate
from itertools import product

import pytest
from upload_trees import FULL, META, episode, files_of, metadata_of, options, upload, uploader, write_episode

from mapanything_data.errors import ConfigError
from mapanything_data.storage.hub import client, limits, local_files, upload_folder

# huggingface_hub sends contents by an argument that its HTTP client would like to be called otherwise.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "droid"
    for number in range(5):
        write_episode(root, number)
    return root


def assert_complete(hub, root):
    files = files_of(root)
    assert hub.files(FULL) == files
    assert hub.files(META) == metadata_of(files)
    assert hub.doubled(FULL) == hub.doubled(META) == []


def journal(root):
    lines = (upload_folder(root) / "journal.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def states(root):
    return {
        state: len(list((upload_folder(root) / state).glob("*.json"))) for state in ("staged", "inflight", "confirmed")
    }


def test_both_repositories_receive_the_tree_and_only_one_of_them_the_depth_videos(hub, root):
    summary = upload(root)

    assert_complete(hub, root)
    assert len(files_of(root)) == 5 * 6
    assert len(hub.files(META)) == 5 * 4
    assert (summary.items, summary.exit_code, summary.waiting) == (5, 0, 0)
    assert states(root) == {"staged": 0, "inflight": 0, "confirmed": 3}  # 5 episodes, two at a time
    assert len(hub.history(FULL)) == len(hub.history(META)) == 3
    assert hub.created == {FULL: {"private": True}, META: {"private": True}}


def test_a_second_run_asks_the_hub_for_nothing(hub, root):
    upload(root)
    before = len(hub.requests)

    summary = upload(root)

    assert summary.items == 0
    assert len(hub.requests) == before


def test_of_a_changed_episode_the_changed_files_go_up_and_no_others(hub, root):
    upload(root)
    (root / episode(3) / "tracks.npz").write_bytes(b"better")

    upload(root)

    assert_complete(hub, root)
    assert list(hub.history(FULL)[-1].files) == [f"{episode(3)}/tracks.npz"]


def test_a_file_that_was_touched_only_is_not_committed_again(hub, root):
    upload(root)
    (root / episode(3) / "tracks.npz").touch()

    upload(root)
    upload(root)

    assert len(hub.history(FULL)) == 3
    assert states(root)["confirmed"] == 4


def test_what_is_not_finished_stays_here(hub, root):
    write_episode(root, 7)
    (root / episode(7) / "quality.json").unlink()
    (root / episode(1) / ".unfinished-9-tracks.npz").write_bytes(b"half")

    upload(root)

    assert not any(episode(7) in path or "unfinished" in path for path in hub.files(FULL))


def test_a_repository_may_be_left_out_and_receives_everything_when_it_is_named_later(hub, root):
    upload(root, metadata_repo="")
    assert list(hub.created) == [FULL]

    upload(root)

    assert_complete(hub, root)
    assert len(hub.history(FULL)) == 3


def test_another_repository_starts_from_nothing(hub, root):
    upload(root)

    upload(root, full_repo="me/other")

    assert hub.files("me/other") == hub.files(FULL)


def test_a_prefix_and_a_branch_are_kept_to(hub, root):
    upload(root, path_prefix="v2/", revision="next")

    assert hub.files(FULL) == {}
    assert hub.files(FULL, "next") == {f"v2/{path}": content for path, content in files_of(root).items()}


def test_fewer_episodes_than_a_batch_wait_for_the_interval(hub, root):
    now = 1000.0
    waiting = uploader(root, clock=lambda: now, batch_size=10, interval_minutes=10)

    assert waiting.step(now) is None
    now += 599
    assert waiting.step(now) is None
    assert hub.requests == []

    now += 2
    for _ in range(6):
        waiting.step(now)
    assert_complete(hub, root)


@pytest.mark.parametrize(
    ("route", "fault"),
    [
        *product(["commit"], ["429", "503", "html", "drop", "drop_after", "stall", "stall_after", "late"]),
        *product(["info", "create", "preupload", "lfs", "paths"], ["503", "html", "drop", "drop_after"]),
        *product(["put", "verify"], ["503", "drop", "stall"]),
        *product(["paths"], ["429", "stall"]),
    ],
)
def test_a_fault_anywhere_neither_loses_nor_doubles(hub, tmp_path, route, fault):
    hub.plan.next[route] = [fault, fault] if route == "create" else [fault, "", fault]
    hub.plan.stall_s = 0.3
    root = tmp_path / "droid"
    write_episode(root, 0)
    write_episode(root, 1)

    summary = upload(root, batch_size=1)

    assert hub.plan.next[route] == []
    assert summary.failures == []
    assert_complete(hub, root)


def test_a_commit_that_the_hub_applies_after_its_repetition_was_sent_is_refused_by_its_parent(hub, tmp_path):
    write_episode(tmp_path / "droid", 0)
    hub.plan.next["commit"] = ["late"]
    hub.plan.late_s = 0.5  # the retry comes after 0.01 s

    upload(tmp_path / "droid", metadata_repo="")
    time.sleep(0.7)

    assert len(hub.history(FULL)) == 1
    assert hub.files(FULL) == files_of(tmp_path / "droid")


def test_somebody_else_who_commits_to_the_same_repository_is_no_obstacle(hub, root):
    work = uploader(root, metadata_repo="")
    work.step(time.time(), no_more_to_come=True)  # makes the repository
    work.targets[0].head = hub.commit(FULL, "main").oid
    hub.apply(FULL, "main", work.targets[0].head, "a card", {"README.md": hub.keep(b"hello")})

    work.run(lambda: True)

    assert hub.files(FULL) == {**files_of(root), "README.md": b"hello"}


@pytest.mark.parametrize(("header", "least", "most"), [("7", 7, 8.01), (formatdate(2e9 + 30, usegmt=True), 29, 31.01)])
def test_retry_after_is_obeyed_in_seconds_and_as_a_date(hub, root, monkeypatch, header, least, most):
    now = 2e9
    monkeypatch.setattr(client.time, "time", lambda: now)
    hub.plan.retry_after = header
    work = uploader(root, clock=lambda: now, metadata_repo="")
    work.step(now, no_more_to_come=True)
    hub.plan.next["commit"] = ["429"]

    delay = work.step(now, no_more_to_come=True)

    assert least <= delay <= most
    assert len(hub.history(FULL)) == 0


def test_without_it_the_waits_double_up_to_a_limit(hub, root):
    now = 2e9
    hub.plan.retry_after = ""
    hub.plan.next["info"] = ["503"] * 6
    work = uploader(root, clock=lambda: now, metadata_repo="", backoff_s=1.0, max_backoff_s=10.0)

    for longest in (1, 2, 4, 8, 10, 10):  # and at least half of it
        delay = work.step(now, no_more_to_come=True)
        assert longest / 2 <= delay <= longest
        now += delay


def test_a_hub_that_stays_away_is_given_up_and_the_next_run_goes_on(hub, root):
    hub.plan.chances["info"] = {"503": 1.0}

    summary = upload(root, max_retries=2)

    assert summary.exit_code == 1
    assert summary.retries == 2 * 2  # for each of two repositories
    assert all("still fails: 503" in text for text in summary.failures)
    assert summary.waiting > 0

    hub.plan.chances.clear()
    assert upload(root).exit_code == 0
    assert_complete(hub, root)


def test_a_repository_that_refuses_the_token_does_not_hold_up_the_other(hub, root):
    hub.plan.next["info"] = ["401"]  # the first question is for the full repository

    summary = upload(root)

    assert summary.exit_code == 1
    assert "give a token that is valid" in summary.failures[0]
    assert hub.files(META) == metadata_of(files_of(root))
    assert FULL not in hub.created

    upload(root)
    assert_complete(hub, root)


def test_a_batch_that_the_hub_does_not_take_does_not_hold_up_the_others(hub, root):
    hub.plan.next["commit"] = ["413"]

    summary = upload(root, metadata_repo="")

    assert summary.exit_code == 1
    assert len(hub.files(FULL)) == 3 * 6
    assert states(root) == {"staged": 0, "inflight": 1, "confirmed": 2}


@pytest.mark.parametrize("absent", [("info", "paths", "tree"), ("paths", "tree"), ("info",)], ids="-".join)
def test_a_server_that_does_not_tell_what_it_holds_receives_everything_once(hub, root, absent):
    hub.plan.absent = absent

    assert upload(root).exit_code == 0
    assert upload(root).items == 0

    assert_complete(hub, root)
    assert hub.doubled(FULL) == hub.doubled(META) == []


def test_a_repository_that_is_made_and_takes_no_commit_is_given_up(hub, root):
    hub.plan.absent = ("info", "commit")

    summary = upload(root, max_retries=2)

    assert summary.exit_code == 1
    assert hub.count("create") == 2  # once for each repository
    assert len(hub.requests) < 60
    assert summary.waiting > 0


def test_a_repository_that_is_missing_is_named_where_none_is_to_be_made(hub, root):
    summary = upload(root, create_repo=False, metadata_repo="")

    assert "me/full: is not there" in summary.failures[0]
    assert hub.created == {}


def test_the_token_is_written_nowhere(hub, root, tmp_path, monkeypatch, caplog, capfd):
    caplog.set_level(logging.INFO)  # as Hydra does
    token = "hf_verySecretIndeed"
    (tmp_path / "token").write_text(f"{token}\n")
    hub.token = token
    hub.plan.next["commit"] = ["503", "401"]  # the fake hub repeats the Authorization header in its answer
    work = uploader(root, token_file=str(tmp_path / "token"))

    summary = work.run(lambda: True)

    assert summary.exit_code == 1
    assert "asked with Bearer ***" in json.dumps(journal(root))
    written = "".join(path.read_text() for path in upload_folder(root).rglob("*.json*"))
    told = "\n".join([*work.lines, *summary.failures, caplog.text, *capfd.readouterr()])
    assert token not in written + told
    assert "signature=secret" not in written + told


def test_the_budget_of_commits_is_kept_by_later_runs_too(hub, root):
    spent = time.time()
    first = uploader(root, commits_per_hour=2, metadata_repo="")
    first.step(spent, no_more_to_come=True)  # makes the repository
    first.step(time.time(), no_more_to_come=True)
    assert len(hub.history(FULL)) == 1

    now = spent + 10
    second = uploader(root, clock=lambda: now, commits_per_hour=2, metadata_repo="")
    second.step(now, no_more_to_come=True)
    delay = second.step(now, no_more_to_come=True)
    assert len(hub.history(FULL)) == 2
    assert 3580 <= delay <= 3600

    third = uploader(root, clock=lambda: now, commits_per_hour=2, metadata_repo="")
    delay = third.step(now, no_more_to_come=True)
    assert len(hub.history(FULL)) == 2
    assert 3580 <= delay <= 3600

    now = spent + 3610
    third.step(now, no_more_to_come=True)
    assert hub.files(FULL) == files_of(root)


def test_a_commit_counts_whatever_comes_of_it(hub, root):
    hub.plan.next["commit"] = ["503"]
    now = time.time()
    work = uploader(root, clock=lambda: now, commits_per_hour=1, metadata_repo="")
    for _ in range(3):
        work.step(now, no_more_to_come=True)
        now += 1

    assert hub.count("commit") == 1


def test_the_look_up_before_a_commit_can_be_saved(hub, root):
    upload(root, metadata_repo="", skip_hub_check=True)
    saved = hub.count("paths")

    assert saved == 3  # one after each commit, which confirms it
    assert hub.files(FULL) == files_of(root)


def test_files_which_the_hub_has_already_are_not_sent(hub, root):
    upload(root)
    copy = root.parent / "copy"
    for number in range(6):
        write_episode(copy, number)

    summary = upload(copy)

    assert sum(summary.commits.values()) == 2
    assert set(hub.history(FULL)[-1].files) == {path for path in files_of(copy) if path.startswith(episode(5))}


def test_an_episode_that_changes_while_it_waits_goes_up_as_it_is_in_the_end(hub, root):
    work = uploader(root, batch_size=5)
    work.step(time.time(), no_more_to_come=True)  # staged, and the repositories made
    write_episode(root, 2, seed=1)

    work.run(lambda: True)

    assert_complete(hub, root)
    assert [row["items"] for row in journal(root) if row["event"] == "superseded"] == [[episode(2)]]


def test_an_episode_that_changes_between_the_two_repositories_is_the_same_in_both_in_the_end(hub, root):
    work = uploader(root, batch_size=5)
    work.step(time.time(), no_more_to_come=True)
    hub.plan.next["commit"] = ["", "503"]
    work.step(time.time(), no_more_to_come=True)  # full has it, metadata not
    assert len(hub.history(FULL)) == 1
    write_episode(root, 2, seed=1)

    work.run(lambda: True)

    assert_complete(hub, root)


def test_a_gitignore_of_the_repository_does_not_lose_files_silently(hub, root):
    hub.ignored = ("*extrinsics.npz",)

    summary = upload(root, metadata_repo="", max_retries=1)

    assert summary.exit_code == 1
    assert "extrinsics.npz; does a .gitignore of the repository name them?" in summary.failures[0]
    assert states(root)["confirmed"] == 0


def test_local_files_are_deleted_when_both_repositories_have_confirmed_them_and_not_before(hub, root):
    before = files_of(root)
    hub.plan.next["info"] = ["", "", "401"]  # full is asked and made, then metadata is asked
    hub.plan.next["create"] = ["", "401"]

    upload(root, delete_after_upload=True)
    assert hub.files(FULL) == before
    assert files_of(root) == before

    upload(root, delete_after_upload=True)
    assert hub.files(META) == metadata_of(before)
    assert list(files_of(root)) == [path for path in files_of(root) if path.endswith("quality.json")]
    assert len(files_of(root)) == 5

    commits = len(hub.commits)
    upload(root, delete_after_upload=True)
    assert (len(hub.commits), hub.files(FULL)) == (commits, before)


def test_what_no_repository_takes_is_not_deleted(hub, root):
    upload(root, full_repo="", delete_after_upload=True)

    assert sorted({path.rpartition("/")[2] for path in files_of(root)}) == [
        "depth.mkv",
        "depth_meta.json",
        "quality.json",
    ]


def test_a_file_that_was_written_anew_after_the_upload_is_not_deleted(hub, root):
    work = uploader(root, delete_after_upload=True, batch_size=5)
    confirm = work.batches.save

    def rewrite_when_confirmed(batch):
        confirm(batch)
        if batch.confirmed and not batch.cleaned:
            (root / episode(1) / "tracks.npz").write_bytes(b"newer")

    work.batches.save = rewrite_when_confirmed
    work.step(time.time(), no_more_to_come=True)
    work.step(time.time(), no_more_to_come=True)

    assert (root / episode(1) / "tracks.npz").read_bytes() == b"newer"
    assert not (root / episode(0) / "tracks.npz").exists()
    upload(root)
    assert hub.files(FULL)[f"{episode(1)}/tracks.npz"] == b"newer"


def test_files_that_the_hub_cannot_take_are_named_and_the_other_episodes_go_up(hub, root, monkeypatch):
    monkeypatch.setattr(local_files, "MAX_FILE_BYTES", 10_000)
    (root / episode(2) / "huge.bin").write_bytes(bytes(10_001))

    summary = upload(root)

    assert summary.exit_code == 1
    assert summary.failures[0].startswith(f"{episode(2)}/huge.bin is larger than")
    assert summary.items == 4


def test_a_warning_comes_before_the_hubs_advice_is_exceeded():
    full = limits.RepoLimits()
    full.add(f"lab/2023/{number}/a.json" for number in range(7999))
    assert list(full.warnings(sharded=False)) == []

    full.add(["lab/2023/7999/a.json"])
    (warning,) = full.warnings(sharded=False)
    assert "folder lab/2023 holds about 8,000 entries, and the hub advises 10,000" in warning
    assert "hub.layout=shards" in warning
    assert list(full.warnings(sharded=False)) == []

    full.add(f"lab/b/{number % 100}/{number}" for number in range(72_000))
    assert [text for text in full.warnings(sharded=False) if "holds about 80,000 files" in text]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"full_repo": "droid"}, "hub.full_repo"),
        ({"full_repo": "me/meta"}, "hub.metadata_repo"),
        ({"commits_per_hour": 200}, "hub.commits_per_hour"),
        ({"batch_size": 0}, "hub.batch_size"),
        ({"max_backoff_s": 0.001}, "hub.max_backoff_s"),
        ({"path_prefix": "../up"}, "hub.path_prefix"),
    ],
)
def test_options_that_make_no_sense_are_refused(changes, named):
    with pytest.raises(ConfigError, match=named):
        options(**changes)


def test_a_token_file_that_is_empty_is_refused(tmp_path):
    (tmp_path / "token").write_text("\n")

    with pytest.raises(ConfigError, match=r"hub\.token_file"):
        options(token_file=str(tmp_path / "token")).token()


def test_a_repository_that_was_given_up_is_tried_again_while_the_tree_grows(hub, root):
    now = time.time()
    work = uploader(root, clock=lambda: now, metadata_repo="")
    hub.plan.next["info"] = ["401"]
    work.step(now)
    assert work.summary.exit_code == 1
    assert work.step(now) is None

    now += 600.1
    for _ in range(4):
        work.step(now)
        now += 10

    assert work.summary.exit_code == 0
    assert hub.files(FULL) == files_of(root)


def test_a_file_that_changes_while_it_is_sent_is_no_reason_to_leave_its_batch(hub, root, monkeypatch):
    work = uploader(root, metadata_repo="", batch_size=5)
    work.step(time.time(), no_more_to_come=True)
    send = work._client.commit

    def change_and_send(*arguments):
        monkeypatch.setattr(work._client, "commit", send)
        (root / episode(1) / "tracks.npz").write_bytes(bytes(3000))
        return send(*arguments)

    monkeypatch.setattr(work._client, "commit", change_and_send)
    summary = work.run(lambda: True)

    assert summary.failures == []
    assert hub.files(FULL) == files_of(root)
    assert hub.doubled(FULL) == []
