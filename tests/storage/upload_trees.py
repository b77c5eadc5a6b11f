"""Output trees as the tools for DROID leave them, small and drawn from a seed."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

from mapanything_data.storage.hub import OutputTree, Uploader
from mapanything_data.storage.hub_options import HubOptions

FULL, META = "me/full", "me/meta"


def episode(number: int) -> str:
    return f"AUTOLab/success/2023-08-{1 + number // 3:02d}/2023-08-{1 + number // 3:02d}-16h-26m-{number:02d}s"


def write_episode(root: Path, number: int, seed: int = 0, *, depth: bool = True) -> None:
    draw = random.Random(f"{number} {seed}")
    folder = root / episode(number)
    camera = folder / "recordings" / "23404442"
    camera.mkdir(parents=True, exist_ok=True)
    (folder / "tracks.npz").write_bytes(draw.randbytes(3000))  # a large file for the fake hub, which begins at 2000
    (folder / "extrinsics.npz").write_bytes(draw.randbytes(300))
    (camera / "intrinsics.json").write_bytes(b'{"fx": %d}' % draw.randrange(10**9))
    if depth:
        (camera / "depth.mkv").write_bytes(draw.randbytes(5000))
        (camera / "depth_meta.json").write_bytes(b'{"fps": %d}' % draw.randrange(10**9))
    (folder / "quality.json").write_bytes(b'{"score": %d}' % draw.randrange(10**9))


def files_of(root: Path) -> dict[str, bytes]:
    paths = [path for path in root.rglob("*") if path.is_file() and ".mapanything" not in path.parts]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def metadata_of(files: dict[str, bytes]) -> dict[str, bytes]:
    return {path: content for path, content in files.items() if "/depth" not in path}


def options(**changes) -> HubOptions:
    quick = {"full_repo": FULL, "metadata_repo": META, "batch_size": 2, "backoff_s": 0.01, "request_timeout_s": 0.2}
    return HubOptions(**{**quick, **changes})


def uploader(root: Path, *, clock=None, **changes) -> Uploader:
    lines: list[str] = []
    tree = OutputTree(root, "quality.json", lambda key: "/".join(key.split("/")[0:3:2]))
    made = Uploader(tree, options(**changes), lines.append, **({"clock": clock} if clock else {}))
    made.lines = lines
    return made


def upload(root: Path, **changes):
    """One pass over a tree that nobody writes to any more."""
    return uploader(root, **changes).run(lambda: True)


def upload_in_child(url: str, root: Path, hub: HubOptions) -> None:
    """Target of a process that uploads a tree to a fake hub."""
    import huggingface_hub.constants

    from mapanything_data.stages.upload import run_uploader

    os.environ["HF_TOKEN"] = "hf_of_nobody"
    huggingface_hub.constants.ENDPOINT = url
    huggingface_hub.constants.HF_HUB_DISABLE_XET = True
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(run_uploader(root, hub, lambda: True).exit_code)
