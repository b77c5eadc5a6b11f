"""How long a user waits for `--help` and `--cfg job` of each app, against `import hydra` alone."""

from __future__ import annotations

import subprocess
import sys
import time

REPEATS = 5


def seconds(*arguments: str) -> float:
    """The fastest of a few tries: what the machine can do when nothing disturbs."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    baseline = seconds("-c", "import hydra")
    print(f"startup: seconds until done (limit 1 s); `import hydra` alone takes {baseline:.2f}")
    for app in ("capture", "check", "report"):
        for flags in (["--help"], ["--cfg", "job"]):
            taken = seconds("-m", f"mapanything_data.{app}", *flags)
            print(f"  {app:8} {' '.join(flags):10} {taken:.2f}  {taken / baseline:.1f} x import hydra")


if __name__ == "__main__":
    main()
