"""Episodes of DROID that hold nothing but MP4 recordings, drawn on the spot."""

from __future__ import annotations

import av
import numpy as np

from mapanything_data.storage.droid import EpisodeFiles


def episode_at(folder):
    """An episode whose folder is made."""
    (folder / "recordings" / "MP4").mkdir(parents=True)
    uuid = "LAB+0a1b2c3d+2023-08-12-16h-26m-07s"
    return EpisodeFiles(
        uuid=uuid,
        lab="LAB",
        outcome="success",
        date="2023-08-12",
        folder=folder,
        metadata=folder / f"metadata_{uuid}.json",
    )


def write_mp4(path, images, fps=15, crf=12):
    """H.264 of [H, W, 3] uint8 RGB pictures, as good as lossless to the eye."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": f"{crf}", "preset": "veryfast", "bf": "0"})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")))
        container.mux(stream.encode(None))
    return path
