"""A progress bar as one line of text."""

from __future__ import annotations

import sys
import time

_WIDTH = 24
_REDRAW_S = 0.2


class TerminalBar:
    """Draws a bar on the terminal, where there is one; other lines must be written between `clear` and `draw`."""

    def __init__(self) -> None:
        self._last = 0.0
        self._drawn = False

    def draw(self, name: str, *, done: float, total: int, unit: str, seconds: float, before: float = 0.0) -> None:
        """Draw it, at most a few times a second; see `bar_line`."""
        now = time.monotonic()
        if not sys.stderr.isatty() or now - self._last < _REDRAW_S:
            return
        self._last, self._drawn = now, True
        line = bar_line(name, done=done, total=total, unit=unit, seconds=seconds, before=before)
        sys.stderr.write(f"\r{line}\x1b[K")
        sys.stderr.flush()

    def clear(self) -> None:
        """Leave an empty line."""
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._drawn = False


def bar_line(name: str, *, done: float, total: int, unit: str, seconds: float, before: float = 0.0) -> str:
    """The bar, its share, counts, rate and time left.

    Args:
        name: What is going on.
        done: How much is done, begun parts included.
        total: How much there is.
        unit: What is counted, such as `items`.
        seconds: How long it took to get from `before` to `done`.
        before: What was done when the clock started.
    """
    fraction = min(done / total, 1.0) if total else 1.0
    filled = int(fraction * _WIDTH)
    bar = "█" * filled + "░" * (_WIDTH - filled)
    per_second = (done - before) / max(seconds, 1e-9)
    left = clock((total - done) / per_second) if per_second > 0 else "--:--"
    return f"{name} {bar} {fraction:4.0%}  {int(done)}/{total} {unit}  {_rate(per_second)}  ETA {left}"


def clock(seconds: float) -> str:
    """Minutes and seconds, and hours where there are any: 1:02:03."""
    minutes, second = divmod(int(max(seconds, 0)), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute:02d}:{second:02d}"


def _rate(per_second: float) -> str:
    if per_second >= 1 or per_second == 0:
        return f"{per_second:.1f}/s"
    return f"{per_second * 60:.1f}/min"
