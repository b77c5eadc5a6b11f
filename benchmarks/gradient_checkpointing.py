"""What gradient checkpointing saves: the memory of a training step of compact-base with 12 views, and its cost in time.

    python benchmarks/gradient_checkpointing.py [--size tiny]

Goal: at least 40 % less memory for activations with the flags of encoder, trunk and heads than without. On a CPU,
pictures are 84x56, so that it takes half a minute; with a GPU they are 518x392 and bfloat16 is on. Each half runs in
a process of its own, whose peak counts above what it holds before the step: weights and gradients. Times are the best
of several, on a CPU those that the process was running, since other programs can only add to the rest.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch

from train.models.compact import Compact, EncoderOptions, HeadsOptions, Size, TrunkOptions

VIEWS = 12
GOAL = 0.4
STEPS = 2


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--size", default="base", choices=[size.value for size in Size])
    arguments.add_argument("--measure", choices=["plain", "checkpointed"])
    options = arguments.parse_args()
    if options.measure:
        print(json.dumps(measure(Size(options.size), options.measure == "checkpointed")))
        return
    width, height = resolution()
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else "one core"
    print(f"a training step of compact-{options.size}, {VIEWS} views of {width}x{height}, {where}, best of {STEPS}")
    plain, checkpointed = (in_process(options.size, kind) for kind in ("plain", "checkpointed"))
    for title, (activations, seconds) in {"all kept": plain, "checkpointed": checkpointed}.items():
        print(f"  {title:13} {activations / 2**20:7.0f} MiB of activations   {seconds:6.2f} s")
    saved = 1 - checkpointed[0] / plain[0]
    print(f"  {100 * saved:.0f} % less (goal {100 * GOAL:.0f} %) for {checkpointed[1] / plain[1]:.2f} times the time")


def in_process(size: str, kind: str) -> tuple[float, float]:
    """Bytes and seconds of one half."""
    # Each tensor above 64 kB gets pages of its own, which it gives back, so that the peak is that of the tensors.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    command = [sys.executable, __file__, "--size", size, "--measure", kind]
    told = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    activations, seconds = json.loads(told.stdout)
    return activations, seconds


def measure(size: Size, checkpointed: bool) -> tuple[float, float]:
    """Peak of activations, bytes, and seconds of a step."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        torch.set_num_threads(1)
    torch.manual_seed(0)
    network = Compact(
        size=size,
        encoder=EncoderOptions(gradient_checkpointing=checkpointed),
        trunk=TrunkOptions(gradient_checkpointing=checkpointed),
        heads=HeadsOptions(gradient_checkpointing=checkpointed),
    ).build()
    network.to(device)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    width, height = resolution()
    views = [{"img": torch.randn(1, 3, height, width, device=device)} for _ in range(VIEWS)]
    step(network, views[:1])  # libraries take their own memory at the first call
    before = memory(device)
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    seconds = []
    for _ in range(STEPS):
        start = clock()
        step(network, views)
        seconds.append(clock() - start)
    return peak(device) - before, min(seconds)


def resolution() -> tuple[int, int]:
    return (518, 392) if torch.cuda.is_available() else (84, 56)


def step(network: torch.nn.Module, views: list[dict[str, torch.Tensor]]) -> None:
    device = views[0]["img"].device
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        predictions = network(views)
    sum(view["pts3d"].square().mean() + view["conf"].mean() for view in predictions).backward()
    if device.type == "cuda":
        torch.cuda.synchronize()


def memory(device: torch.device) -> int:
    """Bytes that the process has now."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def peak(device: torch.device) -> int:
    """Bytes that the process had at most."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
