"""What of a data set an epoch shows, and what it costs to plan one.

    python benchmarks/sampler.py

Goals: all samples in each epoch, which is 4 times what upstream's sampler shows of 2 to 24 views with a budget of 36
(MapAnything v1.1.1), and a plan for a million samples within 10 s. Upstream's rule: batches of one view count, drawn at
random and filled up to the budget, and N divided by the size of the largest such batch is how many make an epoch.
Planning is measured in CPU seconds, the best of three: other programs can only add.
"""

from __future__ import annotations

import time

import numpy as np

from train.sampling.plan import plan_epoch

SAMPLES = 100_000
MANY = 1_000_000


def main() -> None:
    print(f"share of {SAMPLES} samples that an epoch shows")
    for fewest, most, budget in ((2, 24, 36), (2, 10, 12)):
        ours, theirs = our_coverage(fewest, most, budget), upstream_coverage(fewest, most, budget)
        goal = " (goal 4.0)" if most == 24 else ""
        print(
            f"  {fewest} to {most} views, budget {budget}: {ours:6.1%} (goal 100.0%), upstream's rule {theirs:6.1%}: "
            f"{ours / theirs:.1f} x{goal}"
        )
    print(f"CPU seconds to plan {MANY} samples (goal 10)")
    rng = np.random.default_rng(0)
    cases = {
        "2 to 24 views": np.tile([2, 24], (MANY, 1)),
        "4 to 4, 8, ... 28 views": np.stack([np.full(MANY, 4), 4 * rng.integers(1, 8, MANY)], axis=1),
        "300 different limits": np.sort(rng.integers(1, 25, (MANY, 2)), axis=1),
    }
    for title, limits in cases.items():
        seconds, batches = planning(limits)
        print(f"  {title:24} {seconds:5.1f} s for {batches} batches")


def our_coverage(fewest: int, most: int, budget: int) -> float:
    plan = plan_epoch(np.tile([fewest, most], (SAMPLES, 1)), images_per_rank=budget, seed=0, epoch=0)
    return len(np.unique(np.concatenate([batch.indices for batch in plan]))) / SAMPLES


def upstream_coverage(fewest: int, most: int, budget: int) -> float:
    sizes = np.array([max(1, budget // count) for count in range(fewest, most + 1)])
    batches = SAMPLES // sizes.max()
    drawn = np.random.default_rng(0).integers(len(sizes), size=batches)
    return min(sizes[drawn].sum(), SAMPLES) / SAMPLES


def planning(limits: np.ndarray) -> tuple[float, int]:
    seconds = []
    for _ in range(3):
        began = time.process_time()
        plan = plan_epoch(limits, images_per_rank=36, seed=0, epoch=0)
        seconds.append(time.process_time() - began)
    return min(seconds), len(plan)


if __name__ == "__main__":
    main()
