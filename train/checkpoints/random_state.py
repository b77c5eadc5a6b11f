"""The global random generators of a rank, which libraries draw from."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch


def random_states() -> dict[str, Any]:
    """The states of Python's, NumPy's and torch's global generators, CPU and this rank's GPU, as plain values."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002 - the one that libraries draw from
    states: dict[str, Any] = {
        "python": [version, list(words), gauss],
        "numpy": [name, [int(key) for key in keys], int(position), int(has_gauss), float(cached)],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def set_random_states(states: Mapping[str, Any]) -> None:
    """Bring the generators into the states that `random_states` gave."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((name, np.array(keys, np.uint32), position, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(states["torch"].cpu())
    if torch.cuda.is_available() and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"].cpu())


def resume_random_states(saved: Sequence[Mapping[str, Any]], rank: int, world_size: int, seed: int) -> str:
    """Bring this rank's generators into the state that it had when a checkpoint was written.

    Args:
        saved: The `random_states` of each rank that there was then.
        rank: Of this process. One that there was not then starts from `seed` and its number.
        world_size: Ranks that there are now.
        seed: Start of all random numbers of the training.

    Returns:
        What is different from then, for the log; empty where nothing is.
    """
    if rank < len(saved):
        set_random_states(saved[rank])
    else:
        fresh = int(np.random.SeedSequence([seed, rank]).generate_state(1)[0])
        random.seed(fresh)
        np.random.seed(fresh)  # noqa: NPY002
        torch.manual_seed(fresh)
    if len(saved) == world_size:
        return ""
    return f"the checkpoint is of {len(saved)} ranks and there are {world_size} now: random numbers differ from then"
