"""What quality.json measured against what an episode must reach to be trained on unseen."""

from __future__ import annotations

from collections.abc import Iterator

from mapanything_data.checks.droid.telling import Episode
from mapanything_data.checks.finding import Finding
from mapanything_data.storage.droid.layout import QUALITY
from mapanything_data.storage.droid.results import number_at

HELD_FRAMES = 2
"""The first picture of an episode is older than the first state of the robot, so one frame is usual."""
REMAINING_SKEW_MM = 5.0
"""Between pose and picture, 95th percentile."""
MOVING_SHARE = 0.05
LOWEST_SCORE = 0.25


def check_judgement(episode: Episode) -> Iterator[Finding]:
    """Time, motion and score beyond what is usual."""
    quality = episode.quality
    held = number_at(quality, "alignment", "held_frames")
    if held is not None and held > HELD_FRAMES:
        found = f"{held:.0f} of {quality['num_frames']} frames lie outside of the robot's log and hold its end's pose"
        yield episode.warn("held", QUALITY, found, "leave the first and the last frames out")
    skew = number_at(quality, "alignment", "remaining_skew_mm_p95")
    if skew is not None and skew > REMAINING_SKEW_MM:
        found = f"poses are up to {skew:.1f} mm away from the pictures (95th percentile)"
        remedy = "make a new tree with labeler.align=capture; where it is so made, leave the episode out"
        yield episode.warn("alignment", QUALITY, found, remedy)
    moving = number_at(quality, "motion", "score")
    if moving is not None and moving < MOVING_SHARE:
        found = f"{100 * (1 - moving):.1f} % of the steps do not count as a part of the way: the robot hardly moves"
        yield episode.warn("idle", QUALITY, found, "leave it out of what learns from motion")
    score = number_at(quality, "score")
    if score is not None and score < LOWEST_SCORE:
        parts = {
            name: number_at(quality, "scores", name) for name in ("calibration", "coverage", "alignment", "motion")
        }
        told = ", ".join(f"{name} {value:.2f}" for name, value in parts.items() if value is not None)
        yield episode.warn("score", QUALITY, f"its score is {score:.2f} ({told})", "look at it before you train on it")
