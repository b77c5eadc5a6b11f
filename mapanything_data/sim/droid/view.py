"""What a camera of a generated episode sees at a step: a table in a room, the gripper, and the plate that it moves."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mapanything_data.geometry.euler import transforms_from_euler
from mapanything_data.scene.arrays import Floats
from mapanything_data.sim.droid.boxes import Box, Picture, draw_boxes
from mapanything_data.sim.droid.episode import GeneratedEpisode

Eye = Literal["left", "right"]

LEFT_PAD, RIGHT_PAD, PLATE = (235, 60, 50), (60, 110, 245), (60, 200, 80)
"""Colours of the gripper's pads and of what it holds."""

_QUARTER_TURN = transforms_from_euler([0, 0, 0, 0, 0, np.pi / 2])
"""`T_flange_gripper`: the 2F-85 closes along the flange's y."""
_OPEN_WIDTH = 0.085
_PAD = np.array([0.004, 0.011, 0.0185])
"""Half of a pad: thickness, width, length; its inner face is 37 mm long and starts 7 mm from the pad's frame."""


def draw_view(episode: GeneratedEpisode, serial: str, step: int, eye: Eye = "left") -> Picture:
    """What an eye of a camera sees when the picture of a step is taken."""
    rig_camera = episode.camera(serial)
    time = episode.clocks.captures[serial][step]
    pose = rig_camera.T_world_eye(episode.motion.T_world_flange(time), eye)
    if rig_camera.kind == "external":
        picture = _still_view(episode, serial, eye).copy()
    else:
        picture = Picture.empty(rig_camera.camera)
        draw_boxes(picture, rig_camera.camera, pose, _room(episode.seed))
    draw_boxes(picture, rig_camera.camera, pose, gripper_boxes(episode, time))
    return picture


def exact_depth(episode: GeneratedEpisode, serial: str, step: int, eye: Eye = "left") -> NDArray[np.float32]:
    """The z-depth of every pixel's centre, [H, W] float32, metres."""
    return draw_view(episode, serial, step, eye).depth


def gripper_boxes(episode: GeneratedEpisode, time: float) -> list[Box]:
    """The palm, the left pad (+x of the gripper), the right pad, and the plate that is picked up."""
    T_world_gripper = episode.motion.T_world_flange(time) @ _QUARTER_TURN
    half_width = _OPEN_WIDTH / 2 * (1 - float(episode.motion.gripper(time)))
    middle = pad_depth(half_width) + 0.0255
    places = {
        "palm": ([0, 0, 0.03], np.array([0.02, 0.02, 0.03]), (70, 70, 75)),
        "left": ([half_width + _PAD[0], 0, middle], _PAD, LEFT_PAD),
        "right": ([-half_width - _PAD[0], 0, middle], _PAD, RIGHT_PAD),
    }
    boxes = [
        Box(T_world_gripper @ transforms_from_euler([*place, 0, 0, 0]), half, colour, texel=0.004)
        for place, half, colour in places.values()
    ]
    return [*boxes, _plate(episode, time)]


def pad_depth(half_width: float) -> float:
    """How far out along z the pads' frames are, metres, from the angle t of the 2F-85's outer knuckle.

    The inner face is at x = 12.7 + 34.59 cos t - 45.50 sin t - 7.8 mm, its frame at z = 69.3 + 34.59 sin t + 45.50
    cos t; with R and p the length and the angle of (34.59, 45.50) the first is R cos(t + p) + 4.9 mm.
    """
    length, angle = np.hypot(0.03459, 0.0455), np.arctan2(0.0455, 0.03459)
    turn = np.arccos((half_width - 0.0049) / length) - angle
    return float(0.0693 + 0.03459 * np.sin(turn) + 0.0455 * np.cos(turn))


def _plate(episode: GeneratedEpisode, time: float) -> Box:
    """It lies where the pads will close, moves with them, and stays where they open."""
    motion = episode.motion
    held = np.clip(time, *motion.held)
    half_width = _OPEN_WIDTH / 2 * (1 - float(motion.gripper(np.mean(motion.held))))
    place = _QUARTER_TURN @ transforms_from_euler([0, 0, pad_depth(half_width) + 0.045, 0, 0, 0])
    half = np.array([half_width, 0.025, 0.025])
    return Box(motion.T_world_flange(held) @ place, half, PLATE, texel=0.006)


@lru_cache(maxsize=8)
def _still_view(episode: GeneratedEpisode, serial: str, eye: Eye) -> Picture:
    camera = episode.camera(serial)
    picture = Picture.empty(camera.camera)
    draw_boxes(picture, camera.camera, camera.T_world_eye(np.eye(4), eye), _room(episode.seed))
    return picture


def _room(seed: int) -> list[Box]:
    """A room of 4 m, a table below the gripper's way, and blocks on it."""
    rng = np.random.default_rng([seed, 0xB0C5])
    boxes = [Box(_at(0.55, 0, 0.03), np.array([0.45, 0.7, 0.04]), (190, 150, 110), texel=0.015)]
    for side in (-1, 1, -1, 1):
        x, y, size = rng.uniform(0.3, 0.8), side * rng.uniform(0.25, 0.55), rng.uniform(0.02, 0.05)
        colour = tuple(int(value) for value in rng.integers(60, 240, 3))
        boxes.append(
            Box(_at(x, y, 0.07 + size, rng.uniform(0, 3)), np.full(3, size), (colour[0], colour[1], colour[2]))
        )
    # Last, since what stands in a room saves drawing its walls.
    boxes.append(Box(_at(0.4, 0, 0.6), np.array([2.0, 2.0, 1.4]), (170, 165, 155), texel=0.06, is_room=True))
    return boxes


def _at(x: float, y: float, z: float, yaw: float = 0.0) -> Floats:
    return transforms_from_euler([x, y, z, 0.0, 0.0, yaw])
