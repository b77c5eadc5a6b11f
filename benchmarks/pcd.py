"""How fast PCD files are read and written: a LiDAR sweep of 56,000 points `x y z rgb`, the size of OPV2V's.

Text is compared with `numpy.loadtxt` and both readers of Open3D in the same run. Both ways to print a packed colour
are measured: as a whole number (Open3D) and as a float such as 2.3418052e-38 (PCL and OPV2V).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mapanything_data.storage.pcd import pack_rgb, read_pcd, write_pcd

POINTS = 56_000
REPEATS = 15
ENCODINGS = ("ascii", "binary", "binary_compressed")


def sweep(dtype: type) -> dict[str, np.ndarray]:
    """Points around a car, rounded as a float32 sensor does, and the red that OPV2V makes of their range."""
    points = np.random.default_rng(0).normal(0, 30, (POINTS, 3)).astype(np.float32)
    colours = np.zeros((POINTS, 3), np.uint8)
    colours[:, 0] = 255 * np.exp(-0.004 * np.linalg.norm(points, axis=1))
    return dict(zip("xyz", points.T, strict=True)) | {"rgb": pack_rgb(colours, dtype)}


def seconds(works: dict[str, Callable[[], object]]) -> dict[str, float]:
    """The fastest of a few tries of each, taken in turns: what the machine can do when nothing disturbs."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(REPEATS):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - start)
    return {name: min(tries) for name, tries in times.items()}


def readers(path: Path) -> dict[str, Callable[[], object]]:
    """What ours is compared with; Open3D only where it is installed."""
    found: dict[str, Callable[[], object]] = {"numpy.loadtxt": lambda: np.loadtxt(path, skiprows=11)}
    try:
        import open3d
    except ModuleNotFoundError:
        print("  (Open3D is not installed: pip install open3d)")
        return found
    found["open3d.io"] = lambda: open3d.io.read_point_cloud(str(path))
    found["open3d.t.io"] = lambda: open3d.t.io.read_point_cloud(str(path))
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        for dtype in (np.uint32, np.float32):
            fields, path = sweep(dtype), Path(name) / f"{dtype.__name__}.pcd"
            write_pcd(path, fields, "ascii")
            took = seconds({"ours": lambda path=path: read_pcd(path), **readers(path)})
            print(f"pcd: text with {dtype.__name__} colours, {POINTS} points, {path.stat().st_size / 1e6:.1f} MB")
            print(f"  read in {1e3 * took['ours']:.1f} ms")
            for reader in took.keys() - {"ours"}:
                goal = 5 if reader == "numpy.loadtxt" else 1
                print(f"  {took[reader] / took['ours']:.1f} x as fast as {reader} (goal {goal})")
        print("pcd: each encoding, float32 colours")
        for encoding in ENCODINGS:
            path = Path(name) / f"{encoding}.pcd"
            took = seconds(
                {
                    "write": lambda path=path, encoding=encoding: write_pcd(path, fields, encoding),
                    "read": lambda path=path: read_pcd(path),
                }
            )
            size = path.stat().st_size / 1e6
            write, read = (1e3 * took[work] for work in ("write", "read"))
            print(f"  {encoding:18} {size:.1f} MB, written in {write:.1f} ms, read in {read:.1f} ms")


if __name__ == "__main__":
    main()
