"""What a training sample costs: four views of 518x392 from 800x600 pictures and float32 depth, on one core.

    python benchmarks/dataset_sample.py [--profile]

Goals: at most 60 ms a sample, and 2.5 times as fast as PIL, PyYAML's own parser and NumPy used as they come. Both make
the same tensors, which is checked first. The pictures are those of `road_video`, once as OpenCV writes them, like those
of OPV2V, and once as this project writes them. All numbers are the best of several: other programs can only add.
"""

from __future__ import annotations

import cProfile
import io
import os
import pstats
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
import yaml
from PIL import Image
from road_video import road_frames

from mapanything_data.datasets.colour import ColourJitter
from mapanything_data.datasets.opv2v import OPV2VDataset, OPV2VFinetune
from mapanything_data.geometry.carla import OPENCV_FROM_UE, matrix_from_carla_pose, ue_matrix_from_carla_pose
from mapanything_data.scene import Box3D, Camera, Pose
from mapanything_data.storage.opv2v import Annotation, CameraAnnotation, FrameKey, depth_file, write_annotation
from mapanything_data.storage.opv2v.annotation import vehicles_from_boxes
from mapanything_data.storage.png import encode_png

WIDTH, HEIGHT = 800, 600
RESOLUTION = (518, 392)
KEY = FrameKey("train", "2021_08_16_22_26_54", "641", "000068")
REPEATS = 25
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def main() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    print(f"a sample of 4 views, {RESOLUTION[0]}x{RESOLUTION[1]} from {WIDTH}x{HEIGHT}, one core, best of {REPEATS}")
    jitter = ColourJitter(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.05, gamma=0.2)
    with tempfile.TemporaryDirectory() as name:
        encoders = {"OpenCV's PNG": opencv_png, "our PNG": encode_png}
        for title, encode in encoders.items():
            root = write_root(Path(name) / title.replace(" ", "_"), encode)
            report(title, root, jitter)


def report(title: str, root: Path, jitter: ColourJitter) -> None:
    plain, jittered = samples(root, ColourJitter()), samples(root, jitter)
    compare(plain[0], baseline(root))
    fast, coloured, slow = best(lambda: plain[0], lambda: jittered[0], lambda: baseline(root))
    print(f"  {title:13} {1e3 * fast:6.1f} ms (goal 60)   {1e3 * coloured:6.1f} ms with colour changes")
    print(f"  {'':13} {1e3 * slow:6.1f} ms with PIL + PyYAML + NumPy: {slow / fast:.1f} x (goal 2.5)")
    if "--profile" in sys.argv:
        print(profile(lambda: plain[0]))


def samples(root: Path, colour: ColourJitter) -> OPV2VDataset:
    options = OPV2VFinetune(
        root=str(root), resolution=list(RESOLUTION), depth_is_dense=True, colour=colour, random_crop=False
    )
    return options.train_dataset()


def opencv_png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


def write_root(root: Path, encode: Callable[[np.ndarray], bytes]) -> Path:
    """One frame with as many vehicles as a busy one of OPV2V has (a YAML file of some 20 kB, laid out like those)."""
    rng = np.random.default_rng(0)
    folder, depth_folder = root / KEY.folder, root.with_name(f"{root.name}_depth") / KEY.folder
    folder.mkdir(parents=True)
    depth_folder.mkdir(parents=True)
    road = road_frames(1)[0]
    camera = Camera.from_fov(WIDTH, HEIGHT, np.deg2rad(100))
    T_world_lidar = Pose(matrix_from_carla_pose([200.0, -120.0, 1.9, 0.2, 33.0, -0.4]))
    cameras = {}
    for number, yaw in enumerate((0.0, 100.0, -100.0, 180.0)):
        picture = cv2.resize(np.roll(road, 400 * number, axis=1), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        (root / KEY.file(f"camera{number}")).write_bytes(encode(picture))
        depth = cv2.resize(rng.uniform(2, 90, (60, 80)).astype(np.float32), (WIDTH, HEIGHT))
        depth[: HEIGHT // 3] = 0
        np.save(root.with_name(f"{root.name}_depth") / depth_file(KEY, number), depth)
        T_world_camera = Pose(matrix_from_carla_pose([202.0, -118.0, 1.5, 0.2, 33.0 + yaw, -0.4]))
        cameras[number] = CameraAnnotation(
            T_world_camera=T_world_camera,
            T_camera_lidar=T_world_camera.inverse() @ T_world_lidar,
            intrinsics=camera.matrix,
        )
    boxes = [
        Box3D(
            T_world_box=Pose(matrix_from_carla_pose([*rng.uniform(-90, 90, 2), 0.8, 0, rng.uniform(-180, 180), 0])),
            extent=np.array([0.9, 0.8, 2.3]),
            label="vehicle",
            id=number,
        )
        for number in range(35)
    ]
    annotation = Annotation(
        T_world_lidar=T_world_lidar,
        T_world_agent=T_world_lidar,
        T_world_agent_estimate=T_world_lidar,
        speed=8.0,
        cameras=cameras,
        vehicles=vehicles_from_boxes(boxes, {}),
    )
    path = root / KEY.file("yaml")
    write_annotation(path, annotation)
    content = yaml.safe_load(path.read_text()) | {"plan_trajectory": rng.uniform(-90, 90, (60, 3)).tolist()}
    path.write_text(yaml.dump(content, default_flow_style=False))
    return root


def baseline(root: Path) -> list[dict]:
    """The same sample as one would write it down at first."""
    with (root / KEY.file("yaml")).open() as file:
        content = yaml.safe_load(file)
    scale = max(RESOLUTION[0] / WIDTH, RESOLUTION[1] / HEIGHT)
    size = (round(WIDTH * scale), round(HEIGHT * scale))
    left, top = (size[0] - RESOLUTION[0]) // 2, (size[1] - RESOLUTION[1]) // 2
    views, T_reference_world = [], None
    for number in range(4):
        image = Image.open(root / KEY.file(f"camera{number}")).convert("RGB")
        image = np.array(image.resize(size, Image.Resampling.BOX).crop((left, top, left + 518, top + 392)))
        depth = np.load(root.with_name(f"{root.name}_depth") / depth_file(KEY, number))
        rows = ((np.arange(size[1]) + 0.5) * HEIGHT / size[1]).astype(int)[top : top + 392]
        columns = ((np.arange(size[0]) + 0.5) * WIDTH / size[0]).astype(int)[left : left + 518]
        depth = depth[rows[:, None], columns]
        K = np.array(content[f"camera{number}"]["intrinsic"])
        K[0] *= size[0] / WIDTH
        K[1] *= size[1] / HEIGHT
        K[:2, 2] -= 0.5 + np.array([left, top])
        pose = OPENCV_FROM_UE @ ue_matrix_from_carla_pose(content[f"camera{number}"]["cords"]) @ OPENCV_FROM_UE.T
        T_reference_world = np.linalg.inv(pose) if T_reference_world is None else T_reference_world
        pose = T_reference_world @ pose
        u, v = np.meshgrid(np.arange(RESOLUTION[0]), np.arange(RESOLUTION[1]))
        rays = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones_like(u, np.float64)], axis=-1)
        length = np.linalg.norm(rays, axis=-1, keepdims=True)
        in_camera = rays * depth[..., None]
        points = in_camera @ pose[:3, :3].T + pose[:3, 3]
        valid = depth > 0
        points[~valid] = 0
        arrays = {
            "img": ((image / 255 - MEAN) / DEVIATION).transpose(2, 0, 1),
            "depthmap": depth[..., None],
            "depth_along_ray": depth[..., None] * length,
            "ray_directions_cam": rays / length,
            "pts3d_cam": in_camera,
            "pts3d": points,
            "camera_pose": pose,
            "camera_intrinsics": K,
        }
        tensors = {key: torch.from_numpy(array.astype(np.float32)) for key, array in arrays.items()}
        views.append(tensors | {"valid_mask": torch.from_numpy(valid), "non_ambiguous_mask": torch.from_numpy(valid)})
    return views


def compare(ours: list[dict], theirs: list[dict]) -> None:
    """Both make the same sample, up to how an area is averaged and which of two equally near depths is taken."""
    for one, other in zip(ours, theirs, strict=True):
        for key, tensor in other.items():
            off = (one[key].float() - tensor.float()).abs()
            same = off.mean() < 0.02 if key == "img" else (off > 1e-4).float().mean() < 0.005
            if not same:
                raise AssertionError(f"{key} differs by {off.mean():.3g} on average, at most {off.max():.3g}")


def best(*actions: Callable[[], object]) -> list[float]:
    """Seconds of each; they take turns, so that what else the machine does falls on all of them."""
    times = [[] for _ in actions]
    for _ in range(REPEATS):
        for action, taken in zip(actions, times, strict=True):
            start = time.perf_counter()
            action()
            taken.append(time.perf_counter() - start)
    return [min(taken) for taken in times]


def profile(action: Callable[[], object]) -> str:
    """Where the time goes, of ten samples."""
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(10):
        action()
    profiler.disable()
    text = io.StringIO()
    pstats.Stats(profiler, stream=text).sort_stats("tottime").print_stats(16)
    return text.getvalue()


if __name__ == "__main__":
    main()
