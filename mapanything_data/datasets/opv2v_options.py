"""Options that all data sets of views over OPV2V share."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from mapanything_data.datasets.colour import ColourJitter
from mapanything_data.datasets.views import NORMALISATIONS
from mapanything_data.errors import require_option
from mapanything_data.storage.opv2v.layout import CAMERAS, OPV2V, SPLITS, split_of_folder


class OnBrokenSample(str, Enum):
    """What a file that cannot be read does."""

    error = "error"
    """it stops"""
    skip = "skip"
    """its sample is left out of its batch and listed there"""


@dataclass(kw_only=True, slots=True)
class ViewOptions(OPV2V):
    """Which frames of OPV2V become samples, and how their pictures become views."""

    train_split: str = "train"
    """Split to train on: train, validate, test or test_culvercity."""
    test_split: str = "validate"
    """Split to test on; it must be another one."""
    camera_ids: list[int] = field(default_factory=lambda: list(CAMERAS))
    """Cameras in use: 0 front, 1 right, 2 left, 3 rear. A frame that lacks a file of one of them is left out."""
    reference_camera: int = 0
    """Camera of the ego vehicle that is view 0, in whose frame all poses and points are."""
    num_views: int = 4
    """Views of a sample."""
    resolution: list[int] = field(default_factory=lambda: [518, 392])
    """Width and height of the views, pixels; models with patches of 14 pixels need multiples of 14."""
    random_crop: bool = True
    """Whether training views are cropped at random places; otherwise around the principal point, as test views are."""
    colour: ColourJitter = field(default_factory=ColourJitter)
    """Random changes of the colours of training views."""
    data_norm_type: str = "dinov2"
    """How pictures are normalised: dinov2 (ImageNet's mean and deviation) or identity (0 to 1)."""
    depth_is_dense: bool = False
    """True for depth maps of a simulator, where every pixel is exact and no depth means sky; false for projected LiDAR.
    Views carry it as `is_synthetic` too, by which losses choose how far to trust depth (docs/datasets.md)."""
    include_roadside_units: bool = False
    """Whether agents with negative ids, which stand beside the road, are used."""
    on_broken_sample: OnBrokenSample = OnBrokenSample.error
    """What an unreadable file does: error stops, skip leaves the sample out of its batch and lists it there."""
    seed: int = 0
    """Start of all random choices; together with the epoch and the index it decides a sample."""
    max_scenes: int | None = None
    """Use only the first scenes of each split; null for all."""

    def __post_init__(self) -> None:
        """Refuse what cannot give a sample."""
        OPV2V.__post_init__(self)  # super() does not work in a dataclass with slots
        _require_splits(self.train_split, self.test_split)
        cameras, reference = self.camera_ids, self.reference_camera
        differ = bool(cameras) and len(set(cameras)) == len(cameras) and set(cameras) <= set(CAMERAS)
        require_option("dataset.camera_ids", cameras, differ, f"different ones of {', '.join(map(str, CAMERAS))}")
        require_option("dataset.reference_camera", reference, reference in cameras, f"one of camera_ids, {cameras}")
        require_option("dataset.num_views", self.num_views, self.num_views >= 1, "1 or more")
        positive = len(self.resolution) == 2 and min(self.resolution) >= 1
        require_option("dataset.resolution", self.resolution, positive, "[width, height] in pixels")
        require_option(
            "dataset.data_norm_type",
            self.data_norm_type,
            self.data_norm_type in NORMALISATIONS,
            f"one of {', '.join(NORMALISATIONS)}",
            remedy="take the one that the model was trained with",
        )
        # Hydra has seen to it already; a script, which may give the plain text, has not.
        known_action = self.on_broken_sample in list(OnBrokenSample)
        require_option("dataset.on_broken_sample", self.on_broken_sample, known_action, "error or skip")
        self.on_broken_sample = OnBrokenSample(self.on_broken_sample)
        require_option("dataset.seed", self.seed, self.seed >= 0, "0 or more")
        some = self.max_scenes is None or self.max_scenes >= 1
        require_option("dataset.max_scenes", self.max_scenes, some, "1 or more, or null")

    @property
    def cameras_reference_first(self) -> list[int]:
        """`camera_ids` with the reference camera first."""
        return [self.reference_camera, *(number for number in self.camera_ids if number != self.reference_camera)]


def _require_splits(train_split: str, test_split: str) -> None:
    for name, split in (("train_split", train_split), ("test_split", test_split)):
        require_option(f"dataset.{name}", split, split_of_folder(split) is not None, f"one of {', '.join(SPLITS)}")
    require_option(
        "dataset.test_split",
        test_split,
        split_of_folder(train_split) != split_of_folder(test_split),
        "another split than that to train on: results on training data say nothing",
        remedy="give dataset.test_split=validate or another one",
    )
