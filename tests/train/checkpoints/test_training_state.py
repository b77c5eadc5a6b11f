"""A training that goes on from its state is the training that was never interrupted."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import toy_ranks
from toy_ranks import Toy
from toy_training import toy_optimiser, toy_steps, toy_training

from mapanything_data.errors import DataError
from train.checkpoints.file import read_checkpoint, write_checkpoint
from train.checkpoints.keep import LAST
from train.checkpoints.random_state import random_states, resume_random_states, set_random_states
from train.checkpoints.state import capture, restore
from train.distributed.launch import launch
from train.settings.distributed import Distributed, Strategy


@pytest.fixture(autouse=True)
def no_ranks(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    roots = [str(Path(toy_ranks.__file__).parent), str(Path(toy_ranks.__file__).parents[2])]
    monkeypatch.setenv("PYTHONPATH", ":".join(roots))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def trained(steps: int):
    network, x = toy_training()
    optimiser = toy_optimiser(network)
    toy_steps(network, optimiser, x, range(steps))
    return network, optimiser


def state_of(network, optimiser, **options) -> dict:
    return capture(network, optimiser, **{"ema": None, "scaler": None, "random": [], "progress": {}, **options})


def assert_same_state(one: dict, other: dict, tolerance: float = 0.0) -> None:
    assert list(one["model"]) == list(other["model"])
    # Ranks wait for the gradients of all parameters, so the unused ones have some there, all zeros.
    used = [[name for name in state["optimizer"]["state"] if "unused" not in name] for state in (one, other)]
    assert used[0] == used[1]
    assert one["optimizer"]["param_groups"] == other["optimizer"]["param_groups"]
    tensors = [(value, other["model"][name]) for name, value in one["model"].items() if "unused" not in name]
    for name in used[0]:
        values = one["optimizer"]["state"][name]
        tensors += [(value, other["optimizer"]["state"][name][key]) for key, value in values.items()]
    for first, second in tensors:
        torch.testing.assert_close(first, second, rtol=tolerance, atol=tolerance)


def test_going_on_in_another_process_is_bit_for_bit_the_undisturbed_run(tmp_path):
    first = [sys.executable, toy_ranks.__file__, "train", "1", tmp_path]
    subprocess.run(first, check=True)  # steps 0 to 2
    subprocess.run([*first, "ddp", "resumes"], check=True)  # steps 3 to 5

    undisturbed = state_of(*trained(6))
    assert_same_state(read_checkpoint(tmp_path / LAST), undisturbed)
    assert read_checkpoint(tmp_path / LAST)["progress"] == {"step": 6}


@pytest.mark.parametrize("strategy", list(Strategy))
def test_two_ranks_train_as_one_does_and_one_goes_on_from_their_checkpoint(tmp_path, strategy):
    settings = Distributed(world_size=2, strategy=strategy, timeout_s=60)
    launch(toy_ranks.train, Toy(distributed=settings, folder=tmp_path), settings)

    state = read_checkpoint(tmp_path / LAST)

    assert len(state["random"]) == 2
    # Means over halves are added up in another order: equal but for rounding.
    assert_same_state(state, state_of(*trained(3)), tolerance=1e-6)
    launch(toy_ranks.train, Toy(distributed=Distributed(), folder=tmp_path, resumes=True), Distributed())
    assert_same_state(read_checkpoint(tmp_path / LAST), state_of(*trained(6)), tolerance=1e-6)


def test_names_are_those_of_the_network_whatever_wraps_it():
    network, _ = toy_training()
    compiled = torch.compile(network, backend="eager")

    state = state_of(compiled, toy_optimiser(compiled))

    assert list(state["model"]) == list(network.state_dict())
    members = [name for group in state["optimizer"]["param_groups"] for name in group["params"]]
    assert sorted(members) == sorted(name for name, value in network.named_parameters() if value.requires_grad)


def test_capturing_before_the_first_step_changes_nothing():
    network, optimiser = trained(0)

    state = state_of(network, optimiser)

    assert state["optimizer"]["state"] == {}
    assert len(optimiser.state) == 0


def test_a_parameter_without_a_gradient_has_no_state_and_gets_none(tmp_path):
    state = state_of(*trained(2))
    network, optimiser = trained(0)

    restore(state, network, optimiser)

    assert "unused.weight" not in state["optimizer"]["state"]
    assert network.unused.weight not in optimiser.state
    assert optimiser.state[network.stem.weight]["step"] == 2


def test_averages_and_the_scaler_come_back(tmp_path):
    network, optimiser = trained(2)
    ema = {name: value.detach() * 2 for name, value in network.named_parameters()}
    scaler = torch.amp.GradScaler("cpu", init_scale=512.0)
    write_checkpoint(tmp_path / LAST, state_of(network, optimiser, ema=ema, scaler=scaler))
    other, other_optimiser = trained(0)
    other_ema = {name: torch.zeros_like(value) for name, value in other.named_parameters()}
    other_scaler = torch.amp.GradScaler("cpu")

    restore(read_checkpoint(tmp_path / LAST), other, other_optimiser, ema=other_ema, scaler=other_scaler)

    assert all(torch.equal(other_ema[name], ema[name]) for name in ema)
    assert other_scaler.get_scale() == 512.0


def test_averages_begin_at_the_weights_where_the_checkpoint_has_none():
    state = state_of(*trained(2))
    network, optimiser = trained(0)
    ema = {name: torch.zeros_like(value) for name, value in network.named_parameters()}

    restore(state, network, optimiser, ema=ema)

    assert torch.equal(ema["stem.weight"], state["model"]["stem.weight"])


def test_a_state_of_another_model_is_refused_before_anything_changes():
    state = state_of(*trained(2))
    state["model"]["stem.weight"] = torch.zeros(7, 4)
    del state["model"]["frozen.bias"]
    network, optimiser = trained(0)
    before = network.frozen.weight.clone()

    with pytest.raises(DataError, match=r"last.pth: its weights are of another model") as caught:
        restore(state, network, optimiser, where="last.pth")

    assert "stem.weight: [7, 4] instead of [6, 4]" in str(caught.value)
    assert "frozen.bias: missing" in str(caught.value)
    assert torch.equal(network.frozen.weight, before)
    assert len(optimiser.state) == 0


def test_other_groups_of_parameters_are_refused():
    state = state_of(*trained(2))
    network, _ = toy_training()

    with pytest.raises(DataError, match="other groups of parameters"):
        restore(state, network, torch.optim.AdamW(network.parameters()))


def test_weights_alone_are_no_state_of_a_training():
    network, optimiser = trained(0)

    with pytest.raises(DataError, match="has no optimizer, ema") as caught:
        restore({"model": network.state_dict()}, network, optimiser)

    assert "model.pretrained" in caught.value.remedy


def drawn() -> list[float]:
    numpys = np.random.normal(), np.random.random()  # noqa: NPY002 - the generator that libraries draw from
    return [random.random(), *numpys, float(torch.rand(1))]


def test_random_numbers_go_on_where_they_were(tmp_path):
    random.gauss(0, 1)
    np.random.normal()  # noqa: NPY002 - draws two and keeps one, which is part of the state
    write_checkpoint(tmp_path / LAST, {"random": random_states()})
    expected = drawn()

    drawn()
    set_random_states(read_checkpoint(tmp_path / LAST)["random"])

    assert drawn() == expected


def test_on_other_numbers_of_ranks_each_takes_what_there_is_and_says_so():
    saved = [random_states()]
    expected = drawn()

    assert resume_random_states(saved, rank=0, world_size=1, seed=5) == ""
    assert drawn() == expected
    assert "of 1 ranks and there are 2 now" in resume_random_states(saved, rank=0, world_size=2, seed=5)
    assert drawn() == expected
    assert "of 1 ranks" in resume_random_states(saved, rank=1, world_size=2, seed=5)
    fresh = drawn()
    assert fresh != expected
    resume_random_states(saved, rank=1, world_size=2, seed=5)
    assert drawn() == fresh  # a function of the seed and the rank
