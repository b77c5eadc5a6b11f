"""Drives through a simulated town, with perfect ground truth."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from mapanything_data.config import component
from mapanything_data.errors import ConfigError, require, require_option
from mapanything_data.scene import Camera
from mapanything_data.sim.opengl import choose_opengl
from mapanything_data.sim.town.lidar import Lidar
from mapanything_data.sim.town.recorder import Town, TownRecorder
from mapanything_data.sim.town.rig import T_AGENT_CAMERA
from mapanything_data.sources.snapshots import Recorder, Scenario

_SPLITS = ("train", "validate", "test")


@component("source", "town")
@dataclass(kw_only=True, slots=True)
class TownSource:
    """A town in MuJoCo, in which several cars with cameras and a LiDAR drive near each other.

    Every scenario has streets, houses and traffic of its own. Asking for more scenarios leaves the others as they are,
    and a moment is the same whenever, and in whatever process, it is drawn.
    """

    seed: int = 0
    """Of all that is random, 0 or more."""
    train: int = 8
    """Number of scenarios in the split `train`."""
    validate: int = 2
    """Number of scenarios in the split `validate`."""
    test: int = 2
    """Number of scenarios in the split `test`."""
    frames: int = 30
    """Moments of each scenario, a tenth of a second apart."""
    min_agents: int = 2
    """Fewest cars with sensors in a scenario, at least 1."""
    max_agents: int = 5
    """Most cars with sensors in a scenario, at most 5."""
    width: int = 800
    """Pixels of a picture's row, even."""
    height: int = 600
    """Pixels of a picture's column, even."""
    horizontal_fov: float = 100.0
    """Degrees between the left and the right edge of a picture."""
    lidar_channels: int = 64
    """Rays above one another, from 25 degrees below to 2 degrees above the horizon."""
    lidar_steps: int = 1015
    """Measurements of each channel in one turn; 64 x 1015 are 1.3 million rays a second at 20 turns a second."""
    lidar_range: float = 120.0
    """Metres that the LiDAR reaches."""
    lidar_noise: float = 0.02
    """Standard deviation of what the LiDAR measures, metres."""
    segmentation: bool = False
    """Whether to draw the class of every pixel as well, with the numbers of CARLA's tags."""
    traffic: float = 0.6
    """Share of the places for other cars that are taken, 0 to 1."""
    hills: float = 2.0
    """Metres between the lowest and the highest ground, 0 to 4; what stands on a slope pitches and rolls."""

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        _check_limits(self)
        enough = self.max_agents >= self.min_agents
        expected = f"source.min_agents={self.min_agents} or more"
        require_option("source.max_agents", self.max_agents, enough, expected, "raise it, or lower source.min_agents")

    def scenarios(self) -> list[Scenario]:
        """All of them, split by split.

        Raises:
            ConfigError: No split has any.
        """
        found = [self._scenario(split, number) for split in _SPLITS for number in range(getattr(self, split))]
        if not found:
            raise ConfigError(
                "source",
                "train, validate and test are all 0",
                remedy="ask for one scenario or more, as in source.train=1",
            )
        return found

    def settings(self) -> dict[str, Any]:
        """The options that decide what a scenario holds: all but how many there are."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name not in _SPLITS}

    def setup(self) -> None:
        """Choose an OpenGL and make sure that MuJoCo is there.

        Raises:
            MissingDependencyError: One of them is not installed.
        """
        choose_opengl()  # before anything imports MuJoCo, `require` included
        require("mujoco")

    def open(self, scenario: Scenario) -> AbstractContextManager[Recorder]:
        """Build the town of a scenario and open its renderer.

        Raises:
            MissingDependencyError: MuJoCo or OpenGL is missing.
        """
        self.setup()
        lidar = Lidar(self.lidar_channels, self.lidar_steps, self.lidar_range, self.lidar_noise)
        camera = Camera.from_fov(self.width, self.height, math.radians(self.horizontal_fov))
        town = self._town(scenario.split, int(scenario.name.rpartition("_")[2]))
        return TownRecorder(town, camera, lidar, segmentation=self.segmentation)

    def _scenario(self, split: str, number: int) -> Scenario:
        town = self._town(split, number)
        _, traffic = town.draw()
        return Scenario(
            split, f"town_{split}_{number:04d}", traffic.agents, tuple(town.frame_numbers()), tuple(T_AGENT_CAMERA)
        )

    def _town(self, split: str, number: int) -> Town:
        seed = (self.seed, _SPLITS.index(split), number)
        # A stream of its own beside those that the town draws from the same seed.
        agents = np.random.default_rng([*seed, 99]).integers(self.min_agents, self.max_agents, endpoint=True)
        return Town(seed, int(agents), self.frames, self.hills, self.traffic)


def _check_limits(source: TownSource) -> None:
    limits: dict[str, tuple[float, float]] = {
        "seed": (0, math.inf), "train": (0, 9999), "validate": (0, 9999), "test": (0, 9999), "frames": (1, 9999),
        "min_agents": (1, 5), "max_agents": (1, 5), "width": (16, 4096), "height": (16, 4096),
        "horizontal_fov": (10, 150), "lidar_channels": (2, 256), "lidar_steps": (4, 10_000), "lidar_range": (1, 300),
        "lidar_noise": (0, 1), "traffic": (0, 1), "hills": (0, 4),
    }  # fmt: skip
    for name, (low, high) in limits.items():
        value = getattr(source, name)
        expected = f"{low} to {high}" if high < math.inf else f"{low} or more"
        require_option(f"source.{name}", value, low <= value <= high, expected)
    for name in ("width", "height"):
        value = getattr(source, name)
        require_option(f"source.{name}", value, value % 2 == 0, "an even number", remedy="add 1")
