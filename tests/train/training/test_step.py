"""One step of the optimiser, on toy views."""

from __future__ import annotations

import pytest
import torch
from toy_views import toy_batch

from mapanything_data.datasets.samples import BrokenSample, ViewBatch
from train.distributed.ranks import Ranks
from train.losses.overall import OverallLoss
from train.models.compact import Compact, Size
from train.sampling.plan import GlobalBatch
from train.settings.geometric_inputs import GeometricInputs
from train.settings.train_params import Submodule, TrainParams
from train.training.parameter_groups import group_parameters
from train.training.step import NotFiniteError, TrainingStep

ALONE = Ranks(0, 1, 0, torch.device("cpu"))


def make(network=None, **options):
    torch.manual_seed(0)
    network = network or Compact(size=Size.tiny).build().train()
    params = TrainParams(**{"amp": "none", "lr": 1e-3, "warmup_epochs": 0.0} | options)
    step = TrainingStep(
        network=network,
        loss=OverallLoss(),
        groups=group_parameters(network, params),
        params=params,
        inputs=GeometricInputs(overall=0.0),
        average=None,
        resolution=(42, 28),
        data_norm_type="dinov2",
        ranks=ALONE,
    )
    return network, step


def plan(samples=2, num_views=2):
    import numpy as np

    return GlobalBatch(num_views, (42, 28), np.arange(samples), np.zeros(samples, np.int64), 1)


def take(step, *pairs, number=0):
    return step(list(pairs), step=number, progress=0.5, stop=False)


def test_a_step_moves_the_weights_and_says_what_it_saw():
    network, step = make()
    take(step, (plan(), toy_batch(2)))  # from then on the heads pass gradients on to the trunk
    before = network.state_dict()["trunk.scale"].clone()

    report = take(step, (plan(), toy_batch(2)), number=1)

    assert (report.samples, report.images, report.broken, report.updated) == (2, 4, 0, True)
    assert report.loss == pytest.approx(sum(_weighted(report.terms)), rel=1e-5)
    assert not torch.equal(network.state_dict()["trunk.scale"], before)


def test_the_gradient_is_that_of_the_samples_that_could_be_read():
    _, whole = make()
    _, broken = make()

    one = take(whole, (plan(1), toy_batch(1)))
    other = take(broken, (plan(2), ViewBatch(list(toy_batch(1)), [BrokenSample(1, "torn")])))

    assert other.broken == 1
    assert other.loss == pytest.approx(one.loss, rel=1e-6)
    assert other.grad_norm == pytest.approx(one.grad_norm, rel=1e-5)


def test_a_step_without_any_sample_leaves_the_weights():
    network, step = make(weight_decay=0.5)
    before = {name: value.clone() for name, value in network.state_dict().items()}

    report = take(step, (plan(2), ViewBatch([], [BrokenSample(0, "torn"), BrokenSample(1, "torn")])))

    assert (report.samples, report.updated) == (0, False)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_share_may_be_empty_where_others_are_not():
    _, step = make()

    report = take(step, (plan(2), toy_batch(2)), (plan(1), ViewBatch([], [])))

    assert (report.samples, report.images) == (2, 4)


def test_a_part_is_clipped_by_its_own_limit_and_the_rest_by_theirs():
    network, step = make(clip_grad=0.5, submodules={"heads": Submodule(clip_grad=0.25)})
    take(step, (plan(), toy_batch(2)))
    gradients = {}
    step.optimiser.register_step_pre_hook(
        lambda *_: gradients.update({name: value.grad.clone() for name, value in network.named_parameters()})
    )

    report = take(step, (plan(), toy_batch(2)))

    def norm(of_heads):
        parts = [grad for name, grad in gradients.items() if name.startswith("heads.") == of_heads]
        return torch.stack([part.norm() for part in parts]).norm().item()

    assert report.grad_norm > 0.5
    assert norm(of_heads=True) == pytest.approx(0.25, rel=1e-4)
    assert norm(of_heads=False) == pytest.approx(0.5, rel=1e-4)


def test_a_loss_that_is_no_number_leaves_the_weights():
    network, step = make()
    batch = toy_batch(2)
    batch[1]["camera_pose_trans"][0, 0] = torch.nan
    before = {name: value.clone() for name, value in network.state_dict().items()}

    with pytest.raises(NotFiniteError, match="the loss") as told:
        take(step, (plan(), batch))

    assert told.value.here
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_gradient_that_is_no_number_leaves_the_weights():
    network, step = make()
    network.trunk.scale.register_hook(lambda grad: grad * torch.nan)
    before = network.state_dict()["trunk.reference"].clone()

    with pytest.raises(NotFiniteError, match="the gradient"):
        take(step, (plan(), toy_batch(2)))

    assert torch.equal(network.state_dict()["trunk.reference"], before)


def test_fp16_leaves_out_overflows_and_gives_up_when_they_do_not_end():
    network, step = make()
    step.scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    network.trunk.scale.register_hook(lambda grad: grad * torch.inf)
    batch = toy_batch(1)
    before = network.state_dict()["trunk.reference"].clone()

    told = [take(step, (plan(1), batch)) for _ in range(2)]  # 4 -> 2 -> 1

    assert [report.updated for report in told] == [False, False]
    with pytest.raises(NotFiniteError, match="fp16"):
        take(step, (plan(1), batch))
    assert torch.equal(network.state_dict()["trunk.reference"], before)


def test_the_learning_rates_are_those_of_the_groups():
    _, step = make(epochs=1, min_lr=0.0, submodules={"heads": Submodule(lr=1e-5)})

    report = take(step, (plan(), toy_batch(2)))

    # Half of the way: half of the peak.
    assert sorted({round(rate, 12) for rate in report.learning_rates}) == [5e-6, 5e-4]


def _weighted(terms):
    return [getattr(OverallLoss().weights, name) * value for name, value in terms.items()]
