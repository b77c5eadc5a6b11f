"""Capture against the script that people use: decode with OpenCV on one thread, `cv2.imwrite` with its defaults.

Both turn the same HEVC clip (1928x1208, the road camera's size) into PNG files on the same disk. The second part shows
that memory does not grow with the length of a recording.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from road_video import HEIGHT, WIDTH, hevc_stream, road_frames

from mapanything_data.sim.clip import write_clip

FRAMES = 120
LONG_FRAMES, SHORT_FRAMES = 5000, 500

BASELINE = """
import sys, cv2
cv2.setNumThreads(1)
capture = cv2.VideoCapture(sys.argv[1], cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
number = 0
while True:
    found, image = capture.read()
    if not found:
        break
    cv2.imwrite(f"{sys.argv[2]}/{number:06d}.png", image)
    number += 1
"""


def baseline(clip: Path, folder: Path) -> float:
    folder.mkdir()
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", BASELINE, clip, folder], check=True)
    return time.perf_counter() - start


def ours(clip: Path, root: Path) -> float:
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "mapanything_data.capture", f"source.path={clip}", f"dataset.root={root}"],
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - start


def megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*.png")) / 1e6


def peak_memory(clip: Path, root: Path) -> float:
    """Largest resident size of a capture process, MB; in a process of its own, since the kernel keeps a maximum."""
    program = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True, capture_output=True)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
    )
    command = [sys.executable, "-m", "mapanything_data.capture", f"source.path={clip}", f"dataset.root={root}"]
    done = subprocess.run([sys.executable, "-c", program, *command], check=True, capture_output=True, text=True)
    return int(done.stdout) / 1024


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = folder / "road.mkv"
        clip.write_bytes(hevc_stream(road_frames(FRAMES)))
        slow, fast = baseline(clip, folder / "baseline"), ours(clip, folder / "ours")
        size = megabytes(folder / "ours") / megabytes(folder / "baseline")
        print(f"capture: {FRAMES} HEVC frames of {WIDTH}x{HEIGHT} to PNG, start-up included")
        print(f"  {FRAMES / fast:.1f} frames/s, {slow / fast:.2f} x decode + cv2.imwrite on one thread (goal 1.8)")
        print(f"  files are {size:.2f} x as large as those of cv2.imwrite (goal 1.0)")

        peaks = {}
        for frames in (SHORT_FRAMES, LONG_FRAMES):
            clip = folder / f"{frames}.mp4"
            write_clip(clip, frames=frames, width=320, height=200, options={"preset": "ultrafast"})
            peaks[frames] = peak_memory(clip, folder / str(frames))
        ratio = peaks[LONG_FRAMES] / peaks[SHORT_FRAMES]
        print(f"capture: peak memory {peaks[LONG_FRAMES]:.0f} MB over {LONG_FRAMES} frames")
        print(f"  {ratio:.2f} x that over {SHORT_FRAMES} frames (flat is 1.0)")


if __name__ == "__main__":
    main()
