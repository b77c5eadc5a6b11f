"""Which GPUs this process may use."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from functools import cache


def allowed_gpus(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Names of the GPUs, as `CUDA_VISIBLE_DEVICES` takes them: those it allows, else all that the driver lists."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        # CUDA itself ends the list at the first name that cannot be one: "-1" or "" hides all GPUs.
        names = [name.strip() for name in visible.split(",")]
        end = next((index for index, name in enumerate(names) if not name or name.startswith("-")), len(names))
        return names[:end]
    return _listed_by_driver()


@cache
def _listed_by_driver() -> list[str]:
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=30, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):  # no driver
        return []
    return listed.stdout.split()
