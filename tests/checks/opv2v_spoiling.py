"""A sound OPV2V root to be spoiled by tests, and what the checks find in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from opv2v_data import AGENTS

from mapanything_data.checks.opv2v import Checks
from mapanything_data.scene import PointCloud, Pose
from mapanything_data.storage.opv2v import OPV2V, FrameKey, depth_file, read_cloud, write_cloud
from mapanything_data.storage.plain_yaml import dump_plain_yaml, read_plain_yaml
from mapanything_data.storage.png import encode_png

SCENE = "train/2021_08_16_22_26_00"
FRAMES = (68, 70, 72, 74)
ONE, OTHER = AGENTS
PLACES = [(ONE, 68), (OTHER, 72), (OTHER, 74)]
"""Three places for a defect: at the beginning, inside, at the end."""


def agent_item(agent: int) -> str:
    return f"{SCENE}/{agent}"


def frame_item(agent: int, frame: int, part: str = "") -> str:
    """The item of a finding about one file, or about a whole frame."""
    end = {"": "", "yaml": ".yaml", "pcd": ".pcd"}.get(part, f"_{part}.png")
    return f"{SCENE}/{agent}/{frame:06d}{end}"


def key(agent: int, frame: int) -> FrameKey:
    return FrameKey(*SCENE.split("/"), str(agent), f"{frame:06d}")


def path(root: Path, agent: int, frame: int, part: str) -> Path:
    return root / key(agent, frame).file(part)


def depth_path(root: Path, agent: int, frame: int, camera: int = 0) -> Path:
    return root.with_name(f"{root.name}_depth") / depth_file(key(agent, frame), camera)


def edit(root: Path, agent: int, frame: int, change) -> None:
    """Change the content of a YAML file in place."""
    file = path(root, agent, frame, "yaml")
    content = read_plain_yaml(file)
    change(content)
    file.write_text(dump_plain_yaml(content))


def edit_points(root: Path, agent: int, frame: int, change) -> None:
    """Replace the points [N, 3] of a sweep (OpenCV axes)."""
    file = path(root, agent, frame, "pcd")
    cloud = read_cloud(file, Pose.identity())
    points = np.asarray(change(cloud.points), np.float32).reshape(-1, 3)
    intensity = np.resize(cloud.intensity, len(points)).astype(np.float32)
    write_cloud(file, PointCloud(points=points, intensity=intensity, T_world_lidar=cloud.T_world_lidar))


def put_picture(root: Path, agent: int, frame: int, image: np.ndarray, camera: int = 0) -> None:
    path(root, agent, frame, f"camera{camera}").write_bytes(encode_png(image))


def all_findings(root: Path, **options):
    checks = Checks(OPV2V(root=str(root), **options))
    found, fractions = checks.check_whole(), []
    for item in checks.item_names():
        of_item: list[float] = []
        found += checks.check_item(item, of_item.append)
        assert of_item == sorted(of_item)
        fractions += of_item
    assert all(finding.remedy and finding.found for finding in found)
    assert all(0 <= fraction <= 1 for fraction in fractions)
    return found


def findings(root: Path, **options) -> list[tuple[str, str, str]]:
    """Severity, check and item of all that is found."""
    return [(finding.severity.value, finding.check, finding.item) for finding in all_findings(root, **options)]
