"""What a training step takes on a GPU for 4, 8, 12 and 24 views: images a second and memory.

    python benchmarks/views_on_gpu.py [--size base] [--device cuda] [--views 4 8 12 24]

One sample a step, bf16, pictures of 518x392 as in OPV2V's stages, with and without torch.compile, with and without
gradient checkpointing. Prints the table of docs/performance.md. On a CPU (--device cpu) memory is not measured.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch import nn

from train.models.compact import Compact, EncoderOptions, HeadsOptions, Size, TrunkOptions
from train.views.device import placeholder_views

REPEATS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="base", choices=[size.value for size in Size])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--views", type=int, nargs="+", default=[4, 8, 12, 24])
    parser.add_argument("--resolution", type=int, nargs=2, default=[518, 392])
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("there is no GPU; --device cpu shows that it runs, and little else")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"compact-{options.size}, bf16, {options.resolution[0]}x{options.resolution[1]}, {name}\n")
    print("| Views | Checkpointing | Compiled | images/s | GiB |\n|---|---|---|---|---|")
    for views in options.views:
        for checkpointing in (False, True):
            for compiled in (False, True):
                network = make_network(options.size, checkpointing, device)
                if compiled:
                    network.compile()
                seconds, gib = measure(network, views, tuple(options.resolution), device)
                told = ["yes" if flag else "no" for flag in (checkpointing, compiled)]
                print(f"| {views} | {told[0]} | {told[1]} | {views / seconds:.1f} | {gib:.1f} |", flush=True)


def make_network(size: str, checkpointing: bool, device: torch.device) -> nn.Module:
    torch.manual_seed(0)
    parts = {"gradient_checkpointing": checkpointing}
    model = Compact(
        size=Size(size), encoder=EncoderOptions(**parts), trunk=TrunkOptions(**parts), heads=HeadsOptions(**parts)
    )
    return model.build().to(device).train()


def measure(network: nn.Module, views: int, resolution: tuple[int, int], device: torch.device) -> tuple[float, float]:
    """Seconds of the best step, and the most memory that a step took."""
    optimiser = torch.optim.AdamW(network.parameters(), fused=True)
    batch = placeholder_views(views, *resolution, "dinov2", device)
    on_gpu = device.type == "cuda"
    best = float("inf")
    for _ in range(REPEATS):
        began = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16):
            predictions = network(batch)
        torch.autograd.backward(torch.stack([view["pts3d"].mean() for view in predictions]).sum())
        optimiser.step()
        optimiser.zero_grad()
        if on_gpu:
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - began)
    gib = torch.cuda.max_memory_allocated(device) / 2**30 if on_gpu else float("nan")
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    return best, gib


if __name__ == "__main__":
    main()
