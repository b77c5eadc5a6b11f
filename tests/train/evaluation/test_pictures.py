"""Pictures show the image as it was, depth in the same colours, and errors where there is truth."""

from __future__ import annotations

import numpy as np
import torch
from toy_views import toy_batch

from mapanything_data.datasets.views import NORMALISATIONS, normalise
from train.evaluation.pictures import TILE_WIDTH, draw_sample
from train.views.prediction import truth_as_prediction

GAP = 4


def oracle(batch):
    return [truth_as_prediction(view, torch.ones(len(view["idx"]), 1)) for view in batch]


def tile(drawn, row, column, height):
    """Without the caption."""
    top, left = row * (height + GAP), column * (TILE_WIDTH + GAP)
    return drawn[top + 20 : top + height, left : left + TILE_WIDTH]


def test_there_is_a_row_for_each_view_with_five_tiles():
    batch = toy_batch(num_views=3, height=28, width=56)
    drawn = draw_sample(batch, oracle(batch), 1)

    height = TILE_WIDTH // 2
    assert drawn.shape == (3 * (height + GAP) - GAP, 5 * (TILE_WIDTH + GAP) - GAP, 3)
    assert drawn.dtype == np.uint8


def test_the_image_is_what_it_was_before_it_was_normalised():
    rng = np.random.default_rng(0)
    for norm in NORMALISATIONS:
        batch = toy_batch(size=1, num_views=1, height=TILE_WIDTH, width=TILE_WIDTH)
        image = rng.integers(0, 256, (TILE_WIDTH, TILE_WIDTH, 3), np.uint8)
        batch[0]["img"] = torch.from_numpy(normalise(image, norm))[None]
        batch[0]["data_norm_type"] = [norm]

        drawn = draw_sample(batch, oracle(batch), 0)

        assert np.array_equal(tile(drawn, 0, 0, TILE_WIDTH), image[20:])


def test_a_perfect_prediction_has_the_colours_of_the_truth_and_no_error():
    batch = toy_batch(size=1, num_views=1, height=TILE_WIDTH, width=TILE_WIDTH)
    drawn = draw_sample(batch, oracle(batch), 0)

    assert np.array_equal(tile(drawn, 0, 1, TILE_WIDTH), tile(drawn, 0, 2, TILE_WIDTH))
    assert len(np.unique(tile(drawn, 0, 1, TILE_WIDTH).reshape(-1, 3), axis=0)) > 5
    assert len(np.unique(tile(drawn, 0, 3, TILE_WIDTH).reshape(-1, 3), axis=0)) == 1


def test_errors_are_shown_only_where_there_is_truth_and_few_pixels_are_enlarged():
    batch = toy_batch(size=1, num_views=1, height=TILE_WIDTH, width=TILE_WIDTH, holes=0.999)
    shown = tile(draw_sample(batch, oracle(batch), 0), 0, 3, TILE_WIDTH).any(-1).mean()
    valid = batch[0]["valid_mask"].float().mean().item()

    assert 4 * valid < shown < 10 * valid  # 3 x 3 pixels for one, less where they meet


def test_a_prediction_that_is_no_number_can_be_drawn():
    batch = toy_batch(num_views=2)
    said = oracle(batch)
    for view in said:
        view["pts3d_cam"] = torch.full_like(view["pts3d_cam"], float("nan"))
        view["conf"] = torch.full_like(view["conf"], float("inf"))

    assert draw_sample(batch, said, 0).any()
