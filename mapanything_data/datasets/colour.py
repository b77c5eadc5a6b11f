"""Random changes of a picture's colours, for training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mapanything_data.errors import require_option
from mapanything_data.scene.arrays import Floats

_LUMA = np.array([0.299, 0.587, 0.114])  # Rec. 601
_YIQ = np.array([_LUMA, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
"""NTSC's brightness and two axes of colour; turning the latter changes the hue and leaves the brightness."""


@dataclass(kw_only=True, slots=True)
class ColourJitter:
    """How much the colours of training pictures change; all zero leaves them as they are."""

    brightness: float = 0.0
    """Largest relative change of brightness; 0.2 multiplies by 0.8 to 1.2."""
    contrast: float = 0.0
    """Largest relative change of the distance to the picture's mean grey; 0.2 multiplies by 0.8 to 1.2."""
    saturation: float = 0.0
    """Largest relative change of the distance to grey; 0.2 multiplies by 0.8 to 1.2."""
    hue: float = 0.0
    """Largest turn of the hues, as a part of the colour circle; 0.5 is the opposite side."""
    gamma: float = 0.0
    """Largest change of the logarithm of the exponent; 0.2 takes exponents from 0.82 to 1.22."""
    blur: float = 0.0
    """Largest standard deviation of a Gaussian blur, pixels."""
    same_for_all_views: bool = True
    """Whether the views of a sample change alike, as under one light, or each on its own."""

    def __post_init__(self) -> None:
        """Refuse changes that would turn colours inside out."""
        for name, most in _LARGEST.items():
            value = getattr(self, name)
            remedy = f"dataset.colour.{name}=0 changes nothing"
            require_option(f"dataset.colour.{name}", value, 0 <= value <= most, f"0 to {most:g}", remedy)

    def draw(self, rng: np.random.Generator) -> ColourChange:
        """One change. It takes the same number of draws whatever is switched on, so that options do not interact."""
        brightness, contrast, saturation, hue, gamma, blur = rng.uniform(-1, 1, 6)
        return ColourChange(
            brightness=1 + self.brightness * brightness,
            contrast=1 + self.contrast * contrast,
            saturation=1 + self.saturation * saturation,
            hue=2 * np.pi * self.hue * hue,
            gamma=float(np.exp(self.gamma * gamma)),
            blur=self.blur * abs(blur),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ColourChange:
    """One change of colours.

    Attributes:
        brightness: Factor.
        contrast: Factor of the distance to the mean grey.
        saturation: Factor of the distance to the grey of the same brightness.
        hue: Turn of the hues, radians.
        gamma: Exponent of values from 0 to 1, applied first.
        blur: Standard deviation, pixels, applied last.
    """

    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0
    gamma: float = 1.0
    blur: float = 0.0

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The changed picture, [H, W, 3] uint8 RGB; values that leave 0 to 255 stay at its ends."""
        import cv2

        if self == ColourChange():
            return image
        levels = np.arange(256, dtype=np.float32) / 255
        bent = cv2.LUT(image, (255 * levels**self.gamma).reshape(1, 256))  # [H, W, 3] float32
        changed = cv2.transform(bent, self._matrix(np.array(cv2.mean(bent)[:3])))
        if self.blur > 0:
            changed = cv2.GaussianBlur(changed, (0, 0), self.blur)
        result: NDArray[np.uint8] = np.rint(np.clip(changed, 0, 255)).astype(np.uint8)
        return result

    def _matrix(self, mean: Floats) -> Floats:
        """[3, 4]: brightness, contrast, saturation and hue are all linear in the colour, so one matrix does them."""
        sine, cosine = np.sin(self.hue), np.cos(self.hue)
        turn = np.linalg.inv(_YIQ) @ np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]]) @ _YIQ
        saturate = self.saturation * np.eye(3) + (1 - self.saturation) * np.broadcast_to(_LUMA, (3, 3))
        grey = self.brightness * (_LUMA @ mean)
        offset = np.full((3, 1), (1 - self.contrast) * grey)
        return np.hstack([self.contrast * self.brightness * (turn @ saturate), offset])


_LARGEST = {"brightness": 1, "contrast": 1, "saturation": 1, "hue": 0.5, "gamma": 2, "blur": 20}
