"""Recordings of a generated episode: MP4 files of its cameras, and what calibrations say of their lenses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mapanything_data.errors import require
from mapanything_data.scene import Camera
from mapanything_data.sim.droid.episode import GeneratedEpisode
from mapanything_data.sim.droid.rig import RigCamera
from mapanything_data.sim.droid.view import draw_view
from mapanything_data.storage.droid.intrinsics import CameraIntrinsics

Kind = Literal["mono", "stereo"]

_FPS = 15
_RESOLUTIONS = {"2K": (2208, 1242), "FHD": (1920, 1080), "HD": (1280, 720), "VGA": (672, 376)}


def write_recordings(
    episode: GeneratedEpisode,
    *,
    kinds: Sequence[Kind] = ("mono", "stereo"),
    serials: Sequence[str] | None = None,
    missing_frames: int = 0,
) -> None:
    """Write `recordings/MP4/{serial}.mp4` (left eye) and `{serial}-stereo.mp4` (both, side by side): H.264, BT.709.

    Args:
        episode: Of which pictures are drawn when they were taken.
        kinds: Which of the two.
        serials: Of which cameras; all by default.
        missing_frames: How many pictures the files have less than the episode has steps; a real one sometimes lacks
            the last.

    Raises:
        MissingDependencyError: PyAV is not installed.
    """
    require("av")
    folder = episode.files.folder / "recordings" / "MP4"
    folder.mkdir(parents=True, exist_ok=True)
    steps = range(len(episode) - missing_frames)
    for camera in episode.cameras:
        if serials is not None and camera.serial not in serials:
            continue
        with ExitStack() as stack:
            size = (camera.camera.width, camera.camera.height)
            mono, stereo = folder / f"{camera.serial}.mp4", folder / f"{camera.serial}-stereo.mp4"
            add_mono = stack.enter_context(_encoder(mono, *size)) if "mono" in kinds else None
            add_stereo = stack.enter_context(_encoder(stereo, 2 * size[0], size[1])) if "stereo" in kinds else None
            for step in steps:
                left = draw_view(episode, camera.serial, step).image
                if add_mono:
                    add_mono(left)
                if add_stereo:
                    add_stereo(np.hstack([left, draw_view(episode, camera.serial, step, "right").image]))


def write_calibrations(folder: Path, cameras: Iterable[RigCamera]) -> None:
    """Write the factory calibration `SN{serial}.conf` of each camera: intrinsics of raw pictures, at all resolutions.

    The raw pictures that it describes have some distortion; rectified they are those of the recordings, nearly.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for camera in cameras:
        lines = []
        for side in ("LEFT", "RIGHT"):
            for name, (width, height) in _RESOLUTIONS.items():
                scaled = camera.camera.resized(width, height)
                lines += [f"[{side}_CAM_{name}]", f"fx={scaled.fx:.4f}", f"fy={scaled.fy:.4f}"]
                lines += [f"cx={scaled.cx:.4f}", f"cy={scaled.cy:.4f}"]
                lines += ["k1=-0.0412", "k2=0.0093", "p1=0.0001", "p2=-0.0002", "k3=-0.0041", ""]
        lines += ["[STEREO]", f"Baseline={1e3 * camera.baseline:.4f}", "TY=0.0121", "TZ=-0.0204"]
        lines += [f"{angle}_{name}={value}" for name in _RESOLUTIONS for angle, value in _TURNS.items()]
        (folder / f"SN{camera.serial}.conf").write_text("\n".join(lines) + "\n", encoding="ascii")


_TURNS = {"CV": 0.0011, "RX": -0.0007, "RZ": 0.0002}


def write_intrinsics_json(path: Path, cameras: Iterable[RigCamera]) -> None:
    """Write the exact intrinsics of the recordings' pictures by serial number."""
    entries = {camera.serial: intrinsics_of(camera).to_dict() for camera in cameras}
    path.write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")


def intrinsics_of(camera: RigCamera) -> CameraIntrinsics:
    """The exact intrinsics of a camera's pictures."""
    lens: Camera = camera.camera
    return CameraIntrinsics(
        serial=camera.serial,
        provider="json",
        origin="generated",
        model="rectified",
        left=lens,
        right=lens,
        baseline=camera.baseline,
    )


@contextmanager
def _encoder(path: Path, width: int, height: int) -> Iterator[Callable[[NDArray[np.uint8]], None]]:
    """A function that adds a picture [H, W, 3] to a file, which is finished when the block ends."""
    import av
    from av.video.reformatter import ColorRange, Colorspace

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=_FPS, options={"crf": "12", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.colorspace = Colorspace.ITU709
        stream.codec_context.color_range = ColorRange.MPEG

        def add(image: NDArray[np.uint8]) -> None:
            picture = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                src_color_range=ColorRange.JPEG,
                dst_color_range=ColorRange.MPEG,
            )
            container.mux(stream.encode(picture))

        yield add
        container.mux(stream.encode())
