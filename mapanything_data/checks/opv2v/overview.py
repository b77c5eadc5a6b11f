"""What a root holds, as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from mapanything_data.checks.opv2v.depth_names import DepthNames, count_depth
from mapanything_data.checks.opv2v.names import expected_parts
from mapanything_data.storage.opv2v import Index, Scenario

_HEADER = ("split", "scenes", "vehicles", "roadside", "frames", "complete", "common", "depth maps")


def overview(index: Index, depth: DepthNames) -> str:
    """A row for each split, then how to read it and what was skipped."""
    splits = dict.fromkeys(scenario.split for scenario in index.scenarios)
    rows = [_row(split, [s for s in index.scenarios if s.split == split], index, depth) for split in splits]
    if len(rows) > 1:
        rows.append(("all", *(sum(column) for column in zip(*(row[1:] for row in rows), strict=True))))
    lines = [
        *_aligned([_HEADER, *rows]),
        "vehicles, roadside: agents, summed over scenes; complete: frames with all their files;",
        "common: moments that all agents of a scene have; depth maps: those that belong to a picture",
    ]
    if not depth.folder.is_dir():
        lines.append(f"no depth maps: {depth.folder} is no folder")
    if index.problems:
        lines.append(f"skipped: {len(index.problems)} names that cannot be listed or are no agents")
    return "\n".join(lines)


def _row(split: str, scenarios: Sequence[Scenario], index: Index, depth: DepthNames) -> tuple[str | int, ...]:
    agents = [agent for scenario in scenarios for agent in scenario.agents.values()]
    roadside = sum(agent.is_roadside_unit for agent in agents)
    complete = sum(
        parts.issuperset(expected)
        for agent in agents
        for expected in [expected_parts(agent)]
        for parts in agent.parts.values()
    )
    return (
        split,
        len(scenarios),
        len(agents) - roadside,
        roadside,
        sum(len(agent.frames) for agent in agents),
        complete,
        sum(len(scenario.common_frames()) for scenario in scenarios),
        sum(count_depth(scenario, index, depth) for scenario in scenarios),
    )


def _aligned(rows: Sequence[Sequence[str | int]]) -> list[str]:
    texts = [[f"{cell:,}" if isinstance(cell, int) else cell for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if number == 0 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in texts
    ]
