"""The upload app as a process: what it says, how it stops, and that a kill at any moment costs nothing."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hub_process import HubProcess
from upload_trees import FULL, META, episode, files_of, metadata_of, options, upload_in_child, write_episode

from mapanything_data.errors import ConfigError
from mapanything_data.stages import upload as stage
from mapanything_data.storage.hub import upload_folder
from mapanything_data.storage.hub_options import Layout

pytest.importorskip("huggingface_hub")
# huggingface_hub sends contents by an argument that its HTTP client would like to be called otherwise.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

REPOSITORY = Path(__file__).parents[2]
FAULTS = [
    "commit:503:0.1", "commit:drop:0.1", "commit:drop_after:0.2", "commit:late:0.1",
    "paths:503:0.05", "paths:drop:0.05", "info:429:0.1", "create:drop_after:0.5",
]  # fmt: skip


@pytest.fixture
def hub(tmp_path):
    with HubProcess(tmp_path / "hub") as hub:
        yield hub


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "droid"
    for number in range(3):
        write_episode(root, number)
    return root


def start(hub, root, *arguments):
    command = [sys.executable, "-m", "mapanything_data.upload", f"dataset.root={root}", f"hub.full_repo={FULL}"]
    command += [f"hub.metadata_repo={META}", "hub.backoff_s=0.02", "hub.request_timeout_s=2", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_of_nobody"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def run(hub, root, *arguments):
    process = start(hub, root, *arguments)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_one_pass_uploads_what_is_finished_and_says_what_it_did(hub, root):
    code, out, err = run(hub, root)

    assert (code, err) == (0, "")
    assert hub.files(FULL) == files_of(root)
    assert hub.files(META) == metadata_of(files_of(root))
    assert "me/full: 1 commits, 0.0 MB sent, 0 files were there" in out
    assert "upload: 3 items confirmed, 0 retries" in out


def test_a_dry_run_tells_what_would_go_where_and_changes_nothing(hub, root):
    code, out, _ = run(hub, root, "dry_run=true")

    assert code == 0
    assert "me/full@main:: 3 items, 18 files" in out
    assert "me/meta@main:: 3 items, 12 files" in out
    assert f"  {episode(2)}/tracks.npz (3000 bytes)" in out
    assert not (root / ".mapanything").exists()
    assert not (hub.folder / "commits.jsonl").exists()


def test_a_dry_run_for_a_repository_that_is_named_later_counts_what_earlier_batches_bring_to_it(hub, root):
    run(hub, root, "hub.metadata_repo=")
    write_episode(root, 7)
    before = sorted(upload_folder(root).rglob("*"))

    code, out, _ = run(hub, root, "dry_run=true")

    assert code == 0
    assert "me/full@main:: 1 items, 6 files" in out
    assert "me/meta@main:: 4 items, 16 files" in out
    assert out.count("of 3 items, which was made before") == 1
    assert sorted(upload_folder(root).rglob("*")) == before

    _, out, _ = run(hub, root)
    assert hub.files(META) == metadata_of(files_of(root))
    _, out, _ = run(hub, root, "dry_run=true")
    assert "me/meta@main:: 0 items, 0 files" in out


def test_a_dry_run_tells_what_cannot_go_to_a_repository_that_is_named_after_local_files_were_deleted(hub, root):
    run(hub, root, "hub.metadata_repo=", "hub.delete_after_upload=true")

    _, out, _ = run(hub, root, "dry_run=true")

    assert "cannot go: its local files were deleted after an earlier upload" in out


def test_what_failed_for_good_decides_the_exit_code(hub, root):
    code, out, _ = run(hub, root, "hub.create_repo=false")

    assert code == 1
    assert "failed   me/full: is not there" in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["hub.full_repo=", "hub.metadata_repo="], "hub.full_repo: names no repository"),
        (["hub.layout=zip"], "hub.layout: Invalid value 'zip', expected one of [tree, shards]"),
        (["dataset.root=/nowhere/at/all"], "/nowhere/at/all: is no folder"),
        (["hub.token=hf_x"], "hub.token: there is no such option"),
    ],
)
def test_a_wrong_configuration_is_refused_before_anything_is_sent(hub, root, arguments, told):
    code, _, err = run(hub, root, *arguments)

    assert code == 2
    assert told in err
    assert not (hub.folder / "commits.jsonl").exists()


def test_watching_goes_on_while_episodes_are_made_and_ends_by_a_file(hub, root, monkeypatch):
    process = start(hub, root, "watch=true", "hub.batch_size=3")
    wait_for(lambda: (hub.folder / "commits.jsonl").exists() and len(hub.commits(META)) == 1)
    write_episode(root, 8)
    (upload_folder(root) / "stop").touch()

    out, err = process.communicate(timeout=30)

    assert (process.returncode, err) == (0, "")
    assert "upload: 4 items confirmed" in out
    assert hub.files(FULL) == files_of(root)
    assert not (upload_folder(root) / "stop").exists()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_with_the_state_kept(hub, root, signum):
    process = start(hub, root, "watch=true", "hub.batch_size=3")
    wait_for(lambda: (hub.folder / "commits.jsonl").exists() and len(hub.commits(META)) == 1)
    process.send_signal(signum)

    out, err = process.communicate(timeout=30)

    assert (process.returncode, err) == (128 + signum, "")
    assert "the same command goes on from here" in out


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_rest_goes_up_beside_other_work_is_told(root, tmp_path, signum):
    with HubProcess(tmp_path / "busy", "commit:503:1.0") as busy:
        program = (
            "import sys; from pathlib import Path; from mapanything_data.stages.upload import uploading\n"
            "from mapanything_data.storage.hub_options import HubOptions\n"
            f"with uploading(Path(sys.argv[1]), HubOptions(full_repo='{FULL}', backoff_s=20)): pass"
        )
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "HF_ENDPOINT": busy.url, "HF_TOKEN": "hf_of_nobody"}
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(root)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        journal = upload_folder(root) / "journal.jsonl"
        wait_for(lambda: journal.exists() and '"retry"' in journal.read_text())
        process.send_signal(signum)
        out, err = process.communicate(timeout=30)

    assert (process.returncode, err) == (128 + signum, "")
    assert f"upload: stopped by {signal.Signals(signum).name}; what is made is there" in out
    assert "503 Service Unavailable" in out
    assert "developer.mozilla.org" not in out


def fill_up(disk, left):
    """Fill a disk but for `left` bytes."""
    state = os.statvfs(disk)
    (disk / "filler").write_bytes(bytes(state.f_bavail * state.f_frsize - left))


@pytest.mark.parametrize("left", [0, 12_288])
def test_a_disk_that_is_full_is_named_and_the_next_run_goes_on(hub, small_disk, left):
    root = small_disk / "droid"
    for number in range(3):
        write_episode(root, number)
    fill_up(small_disk, left)

    code, _, err = run(hub, root)

    assert code == 2
    assert f"{root}/.mapanything/upload" in err
    assert "cannot write, because no space is left" in err
    (small_disk / "filler").unlink()
    assert run(hub, root)[0] == 0
    assert hub.files(FULL) == files_of(root)
    assert hub.doubled(FULL) == []
    assert not list(small_disk.rglob(".unfinished*"))


def upload_beside_nothing(root, hub, before=""):
    program = (
        "import sys; from pathlib import Path; from mapanything_data.stages import upload\n"
        "from mapanything_data.storage.hub_options import HubOptions\n"
        f"{before}\n"
        f"with upload.uploading(Path(sys.argv[1]), HubOptions(full_repo='{FULL}')) as beside: pass\n"
        "sys.exit(beside.exit_code)"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_of_nobody"}
    return subprocess.run(
        [sys.executable, "-c", program, str(root)], capture_output=True, text=True, timeout=60, env=environment
    )


def test_a_full_disk_is_no_success_of_an_upload_beside_other_work(hub, small_disk):
    root = small_disk / "droid"
    write_episode(root, 0)
    fill_up(small_disk, 12_288)

    done = upload_beside_nothing(root, hub)

    assert (done.returncode, done.stderr) == (1, "")
    assert "upload: failed\n" in done.stdout
    assert "cannot write, because no space is left" in done.stdout


def test_a_fault_of_the_uploader_itself_is_no_success_of_an_upload_beside_other_work(hub, root):
    done = upload_beside_nothing(root, hub, "upload.Uploader.run = lambda *_: 1 / 0")

    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr


def test_two_uploaders_of_one_tree_do_not_run_at_once(hub, root):
    first = start(hub, root, "watch=true")
    wait_for(lambda: (upload_folder(root) / "lock").exists() and (upload_folder(root) / "lock").read_text())

    code, _, err = run(hub, root)
    first.kill()
    first.communicate()

    assert code == 2
    assert f"another run of upload is writing here (process {first.pid} on" in err


def test_it_runs_in_a_thread_beside_those_who_write(hub, root, monkeypatch):
    import huggingface_hub
    from huggingface_hub.utils import _http

    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    finished, summaries = threading.Event(), []
    uploading = threading.Thread(
        target=lambda: summaries.append(stage.run_uploader(root, options(), finished.is_set)), daemon=True
    )
    uploading.start()
    write_episode(root, 6)
    finished.set()
    uploading.join(timeout=30)
    huggingface_hub.set_client_factory(_http.default_client_factory)

    assert summaries[0].exit_code == 0
    assert hub.files(META) == metadata_of(files_of(root))


def test_without_a_repository_there_is_nothing_to_run(root):
    with pytest.raises(ConfigError, match=r"hub\.full_repo"):
        stage.run_uploader(root, options(full_repo="", metadata_repo=""), lambda: True)


@pytest.mark.parametrize(
    ("key", "folder"),
    [("AUTOLab/failure/2023-08-12/2023-08-12-16h-26m-07s", "AUTOLab/2023-08-12"), ("alone", "alone")],
)
def test_shards_lie_by_lab_and_date(key, folder):
    assert stage.shard_folder(key) == folder


@pytest.mark.parametrize(("layout", "kills"), [(Layout.tree, 12), (Layout.shards, 6)])
def test_kills_at_any_moment_lose_nothing_and_double_nothing(tmp_path, layout, kills):
    context = multiprocessing.get_context("forkserver")  # which starts processes in a moment
    context.set_forkserver_preload(["huggingface_hub.hf_api", "mapanything_data.stages.upload", "upload_trees"])

    def begin(hub, root, batch_size):
        hub_options = options(
            batch_size=batch_size, layout=layout, commits_per_hour=128, max_retries=50, request_timeout_s=2
        )
        process = context.Process(target=upload_in_child, args=(hub.url, root, hub_options))
        process.start()
        return process

    def end(process):
        process.join(timeout=60)
        return process.exitcode

    kill_again_and_again(tmp_path, begin, end, kills=kills, layout=layout, seed=3)


@pytest.mark.slow
@pytest.mark.parametrize("layout", list(Layout))
def test_a_hundred_kills_of_the_app_lose_nothing_and_double_nothing(tmp_path, layout):
    arguments = [f"hub.layout={layout.value}", "hub.commits_per_hour=128", "hub.max_retries=50"]

    def begin(hub, root, batch_size):
        process = start(hub, root, f"hub.batch_size={batch_size}", *arguments)
        process.is_alive = lambda: process.poll() is None
        process.stdout.readline()  # the first batch was staged
        return process

    def end(process):
        process.communicate(timeout=120)
        return process.returncode

    kill_again_and_again(tmp_path, begin, end, kills=100, layout=layout, seed=7)


def kill_again_and_again(tmp_path, begin, end, *, kills, layout, seed):
    """SIGKILL uploads of a tree that grows and changes meanwhile, to a hub that fails in between."""
    draw = random.Random(seed)
    root = tmp_path / "droid"
    write_episode(root, 0)
    in_the_middle = 0
    with HubProcess(tmp_path / "hub", *FAULTS, seed=seed) as hub:
        for number in range(kills):
            # The budget of commits must not end the test: what the journal says was sent is made older than an hour.
            let_hours_pass(root)
            for new in range(2):
                write_episode(root, 2 * number + new + 1)
            write_episode(root, draw.randrange(2 * number + 1), seed=number)
            process = begin(hub, root, 1)
            time.sleep(draw.uniform(0.0, 0.3))
            in_the_middle += process.is_alive()
            process.kill()
            end(process)
        let_hours_pass(root)
        assert end(begin(hub, root, 20)) == 0
        time.sleep(0.5)  # for a commit that the hub applies late

        assert in_the_middle > 0.6 * kills
        assert hub.doubled(FULL) == hub.doubled(META) == []
        if layout is Layout.tree:
            assert hub.files(FULL) == files_of(root)
            assert hub.files(META) == metadata_of(files_of(root))
        else:
            assert newest_of(hub.files(FULL)) == files_of(root)
            assert newest_of(hub.files(META)) == metadata_of(files_of(root))
            assert all(hub.files(FULL)[path] == content for path, content in hub.files(META).items())
    assert not list((upload_folder(root) / "inflight").iterdir())


def let_hours_pass(root):
    path = upload_folder(root) / "journal.jsonl"
    if path.exists():
        path.write_bytes(path.read_bytes().replace(b'"event": "sent"', b'"event": "sent hours ago"'))


def newest_of(files):
    """What the shards hold, of each file the one of the newest batch."""
    import io
    import tarfile

    found = {}
    for path in sorted(files, key=lambda path: path.rpartition("/")[2]):
        if path.endswith(".tar"):
            with tarfile.open(fileobj=io.BytesIO(files[path])) as tar:
                found.update({member.name: tar.extractfile(member).read() for member in tar})
    return found


def wait_for(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.02)
