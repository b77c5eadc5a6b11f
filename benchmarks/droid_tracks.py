"""How fast contact tracks are computed and written: 226 steps, 960 points and 3 cameras, as the real episode has.

Its trajectory is used where it lies in ../shared/data/droid or in the folder given as argument, else a motion like it
is made up. `tracks.npz` is compared with what NumPy writes of the same arrays in the same run. Best of several tries on
one core; intrinsics and the reading of `trajectory.h5` are not in it.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mapanything_data.geometry.contact_tracks import contact_tracks, project_tracks
from mapanything_data.geometry.gripper import mount, sample_pad_points
from mapanything_data.geometry.normalised_flow import counted_steps, cumulative_distance_mm, normalised_flow
from mapanything_data.scene import Camera, ContactMotion, StaticCamera, WristCamera
from mapanything_data.scene.rotation import matrix_from_quaternion
from mapanything_data.storage.contact_tracks import load_tracks, write_tracks

STEPS, POINTS_PER_FINGER = 226, 480
REPEATS = 9
CAMERA = Camera(1280, 720, 523.0, 523.0, 639.5, 359.5)
DATA = Path(__file__).parents[1] / "../shared/data/droid"


def poses(rows: np.ndarray) -> np.ndarray:
    """[T, 4, 4] of x, y, z and extrinsic xyz Euler angles."""
    half = rows[:, 3:] / 2
    (cx, cy, cz), (sx, sy, sz) = np.cos(half).T, np.sin(half).T
    quaternions = [sx * cy * cz - cx * sy * sz, cx * sy * cz + sx * cy * sz, cx * cy * sz - sx * sy * cz]
    T = np.tile(np.eye(4), (len(rows), 1, 1))
    T[:, :3, :3] = matrix_from_quaternion(np.stack([*quaternions, cx * cy * cz + sx * sy * sz], axis=-1))
    T[:, :3, 3] = rows[:, :3]
    return T


def recorded(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Time stamps, rows of the flange, gripper positions and whether movement was enabled."""
    import h5py

    with h5py.File(path) as file:
        observation = file["observation"]
        return (
            observation["timestamp/robot_state/read_end"][:] * 1e-3,
            observation["robot_state/cartesian_position"][:],
            observation["robot_state/gripper_position"][:],
            observation["controller_info/movement_enabled"][:],
        )


def made_up() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A path of about 1.5 m in smooth bends, with the gripper closed in its middle."""
    draw = np.random.default_rng(0)
    phase = np.linspace(0, 2 * np.pi, STEPS)[:, None]
    rows = np.array([0.5, 0.0, 0.3, np.pi, 0.0, 0.0]) + 0.25 * np.sin(phase * draw.uniform(0.5, 1.2, 6) + range(6))
    rows += draw.normal(0, 1e-5, rows.shape)
    closed = np.clip(6 * np.sin(phase[:, 0]), 0, 0.94)
    return np.arange(STEPS) / 14, rows, closed, np.arange(STEPS) > 15


def episode() -> tuple[str, ContactMotion]:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DATA
    found = sorted(folder.glob("*/*/*/*/trajectory.h5"))
    times, rows, closed, enabled = recorded(found[0]) if found else made_up()
    points, flange, T_flange_gripper = sample_pad_points(POINTS_PER_FINGER, 0), poses(rows), mount()
    static = [[0.2, 0.6, 0.29, -1.98, 0.02, -2.43], [0.13, -0.42, 0.3, -2.0, -0.05, -1.06]]
    wrist = poses(np.array([[-0.08, 0.04, 0.0, -0.33, -0.04, -1.58]]))[0]
    motion = ContactMotion(
        timestamps=times,
        T_world_flange=flange,
        gripper_positions=closed,
        cartesian_positions=rows,
        is_counted=counted_steps(flange, closed, points, T_flange_gripper, enabled),
        pad_points=points,
        T_flange_gripper=T_flange_gripper,
        fps=14.0,
        step_mm=1.0,
        cameras={"0": WristCamera(CAMERA, wrist)}
        | {str(i): StaticCamera(CAMERA, T) for i, T in enumerate(poses(np.array(static)), 1)},
    )
    return ("the real episode" if found else "an episode made up"), motion


def milliseconds(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """The fastest of a few tries: what the machine can do when nothing disturbs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def main() -> None:
    name, motion = episode()
    print(f"droid_tracks: {name}, {len(motion)} steps, {2 * POINTS_PER_FINGER} points, {len(motion.cameras)} cameras,")
    print(f"  {cumulative_distance_mm(motion)[-1]:.0f} mm of way, {(~motion.is_counted[1:]).sum()} steps not counted")
    print(f"  3D tracks {milliseconds(lambda: contact_tracks(motion)):.1f} ms", end=", ")
    print(f"normalised flow {milliseconds(lambda: normalised_flow(motion)):.1f} ms", end=", ")
    project = milliseconds(lambda: [project_tracks(motion, serial) for serial in motion.cameras])
    print(f"all cameras {project:.1f} ms")
    with tempfile.TemporaryDirectory() as folder:
        full, compact = Path(folder) / "full.npz", Path(folder) / "compact.npz"
        write_full = milliseconds(lambda: write_tracks(full, motion, format="full"))
        write_compact = milliseconds(lambda: write_tracks(compact, motion, format="compact"))
        print(f"  full: {write_full:.0f} ms with all computed (goal 250), {full.stat().st_size / 1e6:.1f} MB")
        print(
            f"  compact: {write_compact + project:.1f} ms with all cameras projected (goal 60), "
            f"{compact.stat().st_size / 1e3:.0f} KB (goal 100)"
        )
        print(f"  load_tracks: full {milliseconds(lambda: load_tracks(full)):.0f} ms", end=", ")
        print(f"compact {milliseconds(lambda: load_tracks(compact)):.0f} ms")
        arrays, other = load_tracks(full), Path(folder) / "numpy.npz"
        for save in (np.savez_compressed, np.savez):
            took = milliseconds(lambda save=save: save(other, **arrays), repeats=2)
            size = other.stat().st_size / 1e6
            print(f"  np.{save.__name__}: {took:.0f} ms to write alone, {took / write_full:.1f} x ours, {size:.1f} MB")


if __name__ == "__main__":
    main()
