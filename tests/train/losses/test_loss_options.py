"""Options of the loss: what ships, what the command line may say, what is refused."""

from __future__ import annotations

import subprocess
import sys

import pytest
from loss_cases import TERMS, assemble, mixed_batch, only, wrong_factors

import train  # noqa: F401 - names its packages of components
from mapanything_data.config import CONFIG_DIR
from mapanything_data.config.app import hydra_version_base, register_schemas
from mapanything_data.config.build import build
from mapanything_data.config.explain import explain
from mapanything_data.errors import ConfigError, UserError
from mapanything_data.stages.check import check
from train.losses.overall import OverallLoss, Weights


def composed(*overrides):
    """The loss that the command line would build."""
    from hydra import compose, initialize_config_dir

    register_schemas(check)
    with initialize_config_dir(config_dir=str(CONFIG_DIR), job_name="loss", **hydra_version_base()):
        try:
            return build(compose(None, list(overrides)))["loss"]
        except UserError:
            raise
        except Exception as error:
            raise explain(error, "finetune") from error


def test_overall_loss_is_as_upstream_has_it():
    loss = composed("+loss=overall_loss")

    assert loss == OverallLoss()
    assert [getattr(loss.weights, term) for term in TERMS] == [1, 1, 1, 1, 1, 1, 1, 3, 3, 0.3]
    assert (loss.robust_alpha, loss.robust_c, loss.confidence_weight, loss.dropped_percent) == (0.5, 0.05, 0.2, 5)


def test_relpose_has_the_weights_of_the_released_models():
    loss = composed("+loss=overall_loss_relpose")

    assert [getattr(loss.weights, term) for term in TERMS] == [1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.3, 0.3, 0.03]
    assert loss.relative_poses


def test_weights_and_stages_are_overrides():
    loss = composed("+loss=overall_loss_relpose", "loss.weights.mask=0", "loss.confidence_weight=null")

    assert (loss.weights.mask, loss.weights.world_points, loss.confidence_weight) == (0, 1, None)


def test_a_typo_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match=r"did you mean loss\.weights\.translation\?"):
        composed("+loss=overall_loss", "loss.weights.translations=0")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("robust_alpha", 0.0),
        ("robust_alpha", 2.0),
        ("robust_c", 0.0),
        ("confidence_weight", 0.0),
        ("dropped_percent", 100.0),
        ("dropped_percent", -1.0),
        ("gradient_scales", 0),
    ],
)
def test_what_cannot_be_computed_is_refused(key, value):
    with pytest.raises(ConfigError, match=f"loss.{key}"):
        OverallLoss(**{key: value})


@pytest.mark.parametrize("weight", [-0.1, float("inf"), float("nan")])
def test_a_weight_is_a_number_from_0(weight):
    with pytest.raises(ConfigError, match=r"loss\.weights\.depth"):
        Weights(depth=weight)


def test_a_loss_without_any_term_is_refused():
    with pytest.raises(ConfigError, match="all 0"):
        Weights(**dict.fromkeys(TERMS, 0.0))


@pytest.mark.parametrize("term", TERMS)
def test_a_term_of_weight_0_is_not_computed(term):
    batch = mixed_batch()
    predictions = assemble(wrong_factors(batch))

    values = only(*(name for name in TERMS if name != term))(batch, predictions)

    assert list(values.terms) == [name for name in TERMS if name != term]


def test_the_component_is_light():
    code = "import train.losses.overall, sys; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
