"""Single sweeps that are turned or mirrored, in streets that look much the same from the other side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mapanything_data.checks.opv2v.clouds import CloudLog
from mapanything_data.checks.opv2v.telling import AgentFiles
from mapanything_data.storage.opv2v import Agent, Scenario, Vehicles

TURN = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
"""A quarter about y, OpenCV axes."""
MIRROR = np.diag([-1.0, 1.0, 1.0])
FRAMES = tuple(range(68, 68 + 2 * 40, 2))
"""So many that only every second one is compared in all orientations in any case."""

PAIRS = [(side * 8.0, 5.0 * place - 15) for place in range(7) for side in (-1, 1)]
"""Cars (x, z) on both sides of the street, mirror images of each other."""
ALONE = [(13.0, 5.0 * place - 14) for place in range(5)]
HIDDEN = [(-19.0, 5.0 * place - 14) for place in range(5)]
"""Cars without a point."""


def street() -> Vehicles:
    """24 cars around a LiDAR at the origin of the world."""
    places = np.array([*PAIRS, *ALONE, *HIDDEN])
    T_world_box = np.tile(np.eye(4), (len(places), 1, 1))
    T_world_box[:, 0, 3], T_world_box[:, 2, 3] = places.T
    return Vehicles(
        ids=np.arange(len(places)),
        T_world_vehicle=T_world_box,
        T_world_box=T_world_box,
        extent=np.full((len(places), 3), 1.0),
        speed=np.zeros(len(places)),
    )


def sweep() -> np.ndarray:
    """Five points in each car that is not hidden."""
    x, z = np.repeat(np.array([*PAIRS, *ALONE]), 5, axis=0).T
    return np.stack([x, np.zeros_like(x), z], axis=1).astype(np.float32)


def log_of(odd: int | None = None, matrix: np.ndarray = MIRROR, kept: slice = slice(None)) -> CloudLog:
    agent = Agent(962, "962", {frame: f"{frame:06d}" for frame in FRAMES}, {frame: frozenset() for frame in FRAMES}, [])
    log = CloudLog(AgentFiles(Path(), Scenario("train", "street", {962: agent}), agent))
    for frame in FRAMES:
        points = (sweep() @ matrix).astype(np.float32)[kept] if frame == odd else sweep()
        log.add(frame, points, np.eye(4), street())
    return log


def test_sound_sweeps_are_no_finding():
    assert list(log_of().findings()) == []


@pytest.mark.parametrize("odd", [FRAMES[0], FRAMES[7], FRAMES[8], FRAMES[-1]])
def test_a_mirrored_sweep_is_found_though_it_fills_the_cars_that_stand_in_pairs(odd):
    log = log_of(odd)

    (finding,) = log.findings()

    # 2 * 7 of the 24 cars stand in pairs; 5 more have points when the sweep is the right way round.
    assert finding.found == "14 of 24 boxes within 40 m contain points; 19 do when the cloud is mirrored"
    assert (finding.severity.value, finding.check) == ("WARN", "cloud")
    assert finding.item == f"train/street/962/{odd:06d}.pcd"
    assert log.misplaced == {odd}


@pytest.mark.parametrize("matrix", [TURN, TURN @ TURN, TURN.T, MIRROR @ TURN])
def test_a_turned_sweep_is_found_at_its_place(matrix):
    log = log_of(FRAMES[7], matrix)

    assert [finding.check for finding in log.findings()] == ["cloud"]
    assert log.misplaced == {FRAMES[7]}


def test_a_sweep_of_which_another_car_hides_a_part_is_no_finding():
    # 10 of the 19 cars keep their points: less than usual, yet no other orientation explains it.
    assert list(log_of(FRAMES[7], np.eye(3), slice(0, 50)).findings()) == []
