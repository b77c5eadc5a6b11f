"""Changes of colour do what their names say, and nothing at zero."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest

from mapanything_data.datasets.colour import ColourChange, ColourJitter
from mapanything_data.errors import ConfigError

IMAGE = np.random.default_rng(0).integers(60, 190, (40, 50, 3), np.uint8)
LUMA = np.array([0.299, 0.587, 0.114])


def patch(*colour):
    return np.full((4, 4, 3), colour, np.uint8)


def test_no_change_is_no_change():
    np.testing.assert_array_equal(ColourJitter().draw(np.random.default_rng(0)).apply(IMAGE), IMAGE)


def test_brightness_multiplies_and_stops_at_white():
    assert ColourChange(brightness=1.5).apply(patch(100, 60, 200))[0, 0].tolist() == [150, 90, 255]


def test_contrast_keeps_the_mean_grey():
    changed = ColourChange(contrast=0.5).apply(IMAGE)

    assert (changed @ LUMA).mean() == pytest.approx((IMAGE @ LUMA).mean(), abs=0.2)
    assert (changed @ LUMA).std() == pytest.approx(0.5 * (IMAGE @ LUMA).std(), rel=0.02)


def test_without_saturation_a_colour_is_its_grey():
    # 0.299 * 200 + 0.587 * 100 + 0.114 * 50 = 124.2
    assert ColourChange(saturation=0.0).apply(patch(200, 100, 50))[0, 0].tolist() == [124, 124, 124]


def test_hue_turns_colours_and_keeps_greys_and_brightness():
    turned = ColourChange(hue=np.pi / 3).apply(patch(140, 110, 110))[0, 0]

    assert ColourChange(hue=np.pi / 3).apply(patch(90, 90, 90))[0, 0].tolist() == [90, 90, 90]
    assert turned @ LUMA == pytest.approx(np.array([140, 110, 110]) @ LUMA, abs=0.6)
    assert 0.1 < colorsys.rgb_to_hsv(*turned / 255)[0] < 0.95


def test_gamma_bends_between_black_and_white():
    # 255 * (128 / 255) ^ 2 = 64.25
    assert ColourChange(gamma=2.0).apply(patch(0, 128, 255))[0, 0].tolist() == [0, 64, 255]


def test_blur_keeps_the_mean_and_takes_the_noise():
    changed = ColourChange(blur=2.0).apply(IMAGE)

    assert changed.mean() == pytest.approx(IMAGE.mean(), abs=1)
    assert changed.std() < 0.3 * IMAGE.std()


def test_draws_stay_within_the_options():
    jitter = ColourJitter(brightness=0.2, contrast=0.1, saturation=0.3, hue=0.05, gamma=0.2, blur=1.5)
    changes = [jitter.draw(np.random.default_rng(seed)) for seed in range(200)]

    assert 0.8 <= min(c.brightness for c in changes) < 0.85
    assert 1.15 < max(c.brightness for c in changes) <= 1.2
    assert max(abs(c.hue) for c in changes) <= 2 * np.pi * 0.05
    assert max(c.gamma for c in changes) <= np.exp(0.2)
    assert 1 < max(c.blur for c in changes) <= 1.5
    assert min(c.blur for c in changes) >= 0


def test_switching_one_change_on_leaves_the_others_alone():
    one = ColourJitter(brightness=0.2).draw(np.random.default_rng(0))
    both = ColourJitter(brightness=0.2, blur=2).draw(np.random.default_rng(0))

    assert one.brightness == both.brightness


@pytest.mark.parametrize(("name", "value"), [("brightness", -0.1), ("hue", 0.6), ("gamma", 3)])
def test_changes_beyond_reason_are_refused(name, value):
    with pytest.raises(ConfigError, match=rf"dataset\.colour\.{name}: {value}"):
        ColourJitter(**{name: value})
