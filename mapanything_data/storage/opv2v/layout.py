"""Where an OPV2V root keeps what.

    {root}/{split}/{scenario}/data_protocol.yaml          settings of the simulator, not a frame
                             /{agent}/{frame}.yaml        poses, cameras, vehicles around
                                     /{frame}.pcd         LiDAR sweep
                                     /{frame}_camera0.png ... _camera3.png

Agents are integers, negative ones are roadside units. Frames have six digits and count by two.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mapanything_data.config import component
from mapanything_data.errors import ConfigError

SPLITS = ("train", "validate", "test", "test_culvercity")
"""In the order in which they are listed."""

SPLIT_SPELLINGS = {"test_culver_city": "test_culvercity"}
"""Other names in use: the archive spells the split of Culver City otherwise than the documentation."""

CAMERAS = (0, 1, 2, 3)
"""Front, right, left, rear."""

YAML, PCD = "yaml", "pcd"
"""Parts of a frame, beside `camera0` to `camera3` (`camera_part`)."""

FRAMES_PER_SECOND = 20
"""Frame numbers count the steps of the simulator, which are 0.05 s long."""
FRAME_STEP = 2
"""Every second step of the simulator is stored."""

LABEL = "vehicle"
"""What OPV2V annotates; it has no finer classes."""

EGO_FRONT, EGO_BACK, EGO_SIDE = 2.95, 1.95, 1.1
"""How far the body of a vehicle reaches ahead of its LiDAR, behind it and to either side, metres."""

# Numbers of up to 18 digits fit into 64 bits.
_FRAME_FILE = re.compile(r"([0-9]{1,18})(?:\.(yaml|pcd)|_(camera[0-9]{1,9})\.png)")
_CAMERA_PART = re.compile(r"camera([0-9]{1,9})")
_AGENT_NAME = re.compile(r"-?[0-9]{1,18}")


@component("dataset", "opv2v")
@dataclass(kw_only=True, slots=True)
class OPV2V:
    """Cooperative driving: cameras, LiDAR and poses of several vehicles, in the layout of OPV2V."""

    root: str = "???"
    """Folder that holds the splits train, validate, test, test_culvercity."""
    depth_root: str = ""
    """Folder of the depth maps; empty stands for the one beside the root whose name ends in _depth."""
    depth_layout: str = "npy"
    """How depth maps are named: npy, png, numbered_png or frame_folders (docs/opv2v.md)."""

    def __post_init__(self) -> None:
        """Refuse unknown layouts."""
        if self.depth_layout not in DEPTH_LAYOUTS:
            raise ConfigError(
                "dataset.depth_layout",
                repr(self.depth_layout),
                expected=f"one of {', '.join(DEPTH_LAYOUTS)}",
                remedy="leave it out for {frame}_camera{k}_depth.npy",
            )

    @property
    def folder(self) -> Path:
        """`root` as a path."""
        return Path(self.root).expanduser().absolute()

    @property
    def depth_folder(self) -> Path:
        """`depth_root` as a path, the default put in."""
        return Path(self.depth_root).expanduser().absolute() if self.depth_root else sibling(self.folder, "depth")


def sibling(root: Path, what: str) -> Path:
    """The folder beside a root for data that go with it: `data/opv2v` or `data/opv2v_images` to `data/opv2v_depth`."""
    return root.with_name(f"{root.name.removesuffix('_images')}_{what}")


class FrameKey(NamedTuple):
    """Names one frame of one agent."""

    split: str
    """As the folder is called."""
    scenario: str
    agent: str
    """As the folder is called."""
    frame: str
    """As the files are called, such as 000068."""

    @property
    def folder(self) -> Path:
        """The agent's folder, relative to the root."""
        return Path(self.split, self.scenario, self.agent)

    def file(self, part: str) -> Path:
        """A part's file, relative to the root: `yaml`, `pcd` or `camera0`."""
        name = f"{self.frame}.{part}" if camera_of_part(part) is None else f"{self.frame}_{part}.png"
        return self.folder / name

    def __str__(self) -> str:
        """Such as `train/2021_08_16_22_26_54/641/000069`."""
        return "/".join(self)


DEPTH_LAYOUTS = {
    "npy": "{frame}_camera{camera}_depth.npy",
    "png": "{frame}_camera{camera}_depth.png",
    "numbered_png": "{frame}_depth{camera}.png",
    "frame_folders": "{frame}/camera{camera}_depth.npy",
}
"""Names of depth maps below {depth_root}/{split}/{scenario}/{agent}/."""


def depth_file(key: FrameKey, camera: int, layout: str = "npy") -> Path:
    """A depth map's file, relative to the depth root."""
    return key.folder / DEPTH_LAYOUTS[layout].format(frame=key.frame, camera=camera)


def camera_part(number: int) -> str:
    """The part of a frame that a camera's picture is, such as `camera0`; in the YAML file the camera has this key."""
    return f"camera{number}"


def camera_of_part(part: str) -> int | None:
    """The number of the camera whose picture a part is, None for any other part."""
    matched = _CAMERA_PART.fullmatch(part)
    return int(matched[1]) if matched else None


def frame_name(number: int) -> str:
    """The name that files of a new frame get."""
    return f"{number:06d}"


def parse_frame_file(name: str) -> tuple[str, str] | None:
    """The frame and the part that a file in an agent's folder holds, None for any other file.

    Files of the additional archive hold `additional` in their names and are no frames.
    """
    if "additional" in name:
        return None
    matched = _FRAME_FILE.fullmatch(name)
    return (matched[1], matched[2] or matched[3]) if matched else None


def parse_agent_folder(name: str) -> int | None:
    """The id of an agent's folder, None for any other folder."""
    return int(name) if _AGENT_NAME.fullmatch(name) else None


def split_of_folder(name: str) -> str | None:
    """The split that a folder below the root holds, under its one name; None for any other folder."""
    split = SPLIT_SPELLINGS.get(name, name)
    return split if split in SPLITS else None
