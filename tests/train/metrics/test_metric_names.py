"""The names of metrics are known without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_names_need_no_torch():
    program = "import sys; from train.metrics.names import METRICS; sys.exit('torch' in sys.modules or not METRICS)"

    assert subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[3]).returncode == 0
