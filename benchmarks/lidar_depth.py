"""Depth maps of a LiDAR sweep against the loop over points that people write, and what a frame on disk costs.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/lidar_depth.py

A sweep of 56,000 points (64 channels) in a street of boxes becomes the depth maps of the four cameras of OPV2V's rig,
800x600. Both loops give the same maps as the vectorised code, which is checked. Each number is the best of several
runs.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mapanything_data.geometry.carla import matrix_from_carla_pose
from mapanything_data.geometry.depth_from_points import NEAREST, Occlusion, depth_from_points
from mapanything_data.geometry.fill_depth import fill_depth
from mapanything_data.geometry.transforms import invert
from mapanything_data.scene import Camera, PointCloud, Pose
from mapanything_data.storage.atomic import write_atomic
from mapanything_data.storage.opv2v import read_cloud, write_cloud, write_depth
from mapanything_data.storage.png import encode_png

POINTS = 56_000
CAMERA = Camera.from_fov(800, 600, math.radians(100))
MOUNTS = [(2.5, 0, 1.0, 0, 0, 0), (0, 0.3, 1.8, 0, 100, 0), (0, -0.3, 1.8, 0, -100, 0), (-2, 0, 1.5, 0, 180, 0)]
LIDAR = (-0.5, 0, 1.9, 0, 0, 0)
OCCLUSION = Occlusion()
REPEATS = 20


def main() -> None:
    """Print milliseconds and ratios."""
    points = sweep()
    T_camera_lidar = [invert(matrix_from_carla_pose(mount)) @ matrix_from_carla_pose(LIDAR) for mount in MOUNTS]

    def ours(occlusion: Occlusion) -> list[np.ndarray]:
        return [depth_from_points(CAMERA, points, T, occlusion).depth for T in T_camera_lidar]

    def numpy_loop() -> list[np.ndarray]:
        return [without_hidden(z_buffer(points, T)) for T in T_camera_lidar]

    def plain_loop() -> list[np.ndarray]:
        return [z_buffer_of_floats(points.tolist(), T.tolist()) for T in T_camera_lidar]

    maps = ours(OCCLUSION)
    same = np.mean([np.mean((a == b)[(a > 0) | (b > 0)]) for a, b in zip(maps, numpy_loop(), strict=True)])
    full, bare = best(lambda: ours(OCCLUSION), REPEATS), best(lambda: ours(Occlusion(reach=0)), REPEATS)
    print(f"{len(points)} points -> 4 depth maps of 800x600, {np.mean([(m > 0).mean() for m in maps]):.1%} measured")
    print(f"{'with occlusion test':34}{1e3 * full:8.1f} ms")
    print(f"{'nearest point of a pixel only':34}{1e3 * bare:8.1f} ms")
    print(
        f"{'loop over points, NumPy, with test':34}{best(numpy_loop, 1) / full:8.0f} times as long  ({same:.2%} alike)"
    )
    print(f"{'loop over points, plain floats':34}{best(plain_loop, 1) / bare:8.0f} times as long, without the test")
    print(f"{'filling gaps (dense)':34}{1e3 * best(lambda: [fill_depth(m, 6, 0.02) for m in maps], 3):8.1f} ms")
    files(points, maps, full)


def files(points: np.ndarray, maps: list[np.ndarray], labelling: float) -> None:
    """The parts of a frame on disk."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        pcd = Path(folder) / "sweep.pcd"
        write_cloud(pcd, PointCloud(points=points, intensity=np.zeros(len(points), np.float32), T_world_lidar=POSE))
        parse = best(lambda: read_cloud(pcd, POSE), 5)
        npy = best(lambda: [write_depth(Path(folder) / f"{i}.npy", depth) for i, depth in enumerate(maps)], 5)
        masks = best(
            lambda: [
                write_atomic(Path(folder) / f"{i}.png", encode_png((m > 0) * np.uint8(255))) for i, m in enumerate(maps)
            ],
            5,
        )
    for name, seconds in (("parsing the ASCII PCD", parse), ("writing 4 .npy", npy), ("writing 4 masks", masks)):
        print(f"{name:34}{1e3 * seconds:8.1f} ms")
    print(f"{'frames a second, all of it':34}{1 / (labelling + parse + npy + masks):8.1f}")
    print(f"{'frames a second without the masks':34}{1 / (labelling + parse + npy):8.1f}")


POSE = Pose.identity()


def sweep() -> np.ndarray:
    """Points of a street: the road, a wall around at 60 m, and boxes that stand on the road."""
    rng = np.random.default_rng(0)
    elevation, azimuth = np.meshgrid(
        np.deg2rad(np.linspace(-25, 2, 64)), np.linspace(-np.pi, np.pi, 1000, endpoint=False), indexing="ij"
    )
    flat = np.stack([np.sin(azimuth), -np.tan(elevation), np.cos(azimuth)], axis=-1).reshape(-1, 3)
    with np.errstate(divide="ignore"):
        distance = np.minimum(np.where(flat[:, 1] > 0, 1.9 / flat[:, 1], np.inf), 60.0)
        for x, z, half in rng.uniform([-7, -40, 1], [7, 40, 2.5], (12, 3)):
            corner = np.array([[x - 1.0, 0.4, z - half], [x + 1.0, 1.9, z + half]])
            near, far = np.sort(corner[:, None] / flat, axis=0)
            enter, leave = near.max(axis=1), far.min(axis=1)
            distance = np.where((enter < leave) & (enter > 0), np.minimum(distance, enter), distance)
    points = flat * (distance + rng.normal(0, 0.02, len(distance)))[:, None]
    return points[np.sort(rng.permutation(len(points))[:POINTS])].astype(np.float32)


def z_buffer(points: np.ndarray, T: np.ndarray) -> np.ndarray:
    """The nearest point of each pixel, point by point as an array."""
    T = T.astype(np.float32)
    depth = np.zeros((CAMERA.height, CAMERA.width), np.float32)
    for point in points:
        x, y, z = T[:3, :3] @ point + T[:3, 3]
        if z <= NEAREST:
            continue
        u, v = round(float(CAMERA.fx * x / z + CAMERA.cx)), round(float(CAMERA.fy * y / z + CAMERA.cy))
        if 0 <= u < CAMERA.width and 0 <= v < CAMERA.height and (depth[v, u] == 0 or z < depth[v, u]):
            depth[v, u] = z
    return depth


def z_buffer_of_floats(points: list, T: list) -> np.ndarray:
    """The nearest point of each pixel, point by point in plain floats: the fastest loop that Python has."""
    (a, b, c, d), (e, f, g, h), (i, j, k, m), _ = T
    fx, fy, cx, cy = CAMERA.fx, CAMERA.fy, CAMERA.cx + 0.5, CAMERA.cy + 0.5
    nearest: dict[tuple[int, int], float] = {}
    for x, y, z in points:
        depth = i * x + j * y + k * z + m
        if depth > NEAREST:
            u = (a * x + b * y + c * z + d) / depth * fx + cx
            v = (e * x + f * y + g * z + h) / depth * fy + cy
            if 0 <= u < 800 and 0 <= v < 600:
                pixel = int(v), int(u)
                if depth < nearest.get(pixel, math.inf):
                    nearest[pixel] = depth
    image = np.zeros((CAMERA.height, CAMERA.width), np.float32)
    for pixel, depth in nearest.items():
        image[pixel] = depth
    return image


def without_hidden(depth: np.ndarray) -> np.ndarray:
    """The occlusion test, pixel by pixel."""
    n = math.ceil(OCCLUSION.reach * CAMERA.fx)
    nearest = np.pad(np.where(depth > 0, depth, np.inf), n, constant_values=np.inf)
    kept = depth.copy()
    for row, column in zip(*np.nonzero(depth), strict=True):
        y, x = row + n, column + n
        around = max(
            nearest[y - n : y, x : x + n].min(),
            nearest[y : y + n, x + 1 : x + n + 1].min(),
            nearest[y + 1 : y + n + 1, x - n + 1 : x + 1].min(),
            nearest[y - n + 1 : y + 1, x - n : x].min(),
        )
        if depth[row, column] > around * (1 + OCCLUSION.tolerance) + OCCLUSION.slack:
            kept[row, column] = 0
    return kept


def best(action: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest run; other programs can only add to one."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    main()
