"""Blocks: tables, curves and sentences that the defenses themselves put into their report."""

from collections.abc import Sequence
from typing import Any

from holdfast.artifact import Block, Curve, Sentence, Table
from holdfast.comparisons.scenes import Scene
from holdfast.report.environment import picture, plain_value
from holdfast.report.figures.blocks import curve_picture
from holdfast.report.shown import Shown
from holdfast.results.records import Arm
from holdfast.results.words import DASH, arm_name

__all__ = ["section"]

FOLDED = 12
"""More rows than this are folded; ours."""


def section(shown: Shown) -> dict[str, Any] | None:
    """Return every block of every defense once: of the simplest arm of the first scene."""
    blocks: list[dict[str, Any]] = []
    for number, ((defense, name), (scene, arm)) in enumerate(_sources(shown.scenes).items()):
        told = [(run.seed, run.diagnostics.get(defense)) for run in arm.runs]
        found = [(seed, one.blocks[name]) for seed, one in told if one and name in one.blocks]
        where = arm_name(arm.defense) + (f" · {scene.title}" if shown.many else "")
        color = shown.looks[arm.defense].color
        blocks.append({"where": where, **_view(found, color, f"block{number}")})
    return {"blocks": blocks} if blocks else None


def _sources(found: Sequence[Scene]) -> dict[tuple[str, str], tuple[Scene, Arm]]:
    """Return where each block, by its defense's name and its own, is shown from."""
    sources: dict[tuple[str, str], tuple[Scene, Arm]] = {}
    for scene in found:
        for arm in sorted(scene.arms, key=lambda arm: (arm.is_control, len(arm.defenses))):
            for run in arm.runs:
                for defense, one in run.diagnostics.items():
                    for name in one.blocks:
                        sources.setdefault((defense, name), (scene, arm))
    return sources


def _view(blocks: Sequence[tuple[int, Block]], color: int, name: str) -> dict[str, Any]:
    """Return a block of several seeds; of picture, rows and texts one is there."""
    curves = [block for _, block in blocks if isinstance(block, Curve)]
    tables = [(seed, block) for seed, block in blocks if isinstance(block, Table)]
    texts = [(seed, block.text) for seed, block in blocks if isinstance(block, Sentence)]
    by_seed = len(tables) > 1
    given = [(seed, row) for seed, table in tables for row in table.rows]
    rows = [[*([str(seed)] if by_seed else []), *map(_cell, row)] for seed, row in given]
    alike = len({text for _, text in texts}) == 1
    return {
        "title": blocks[0][1].title,
        "note": blocks[0][1].note,
        "picture": picture(curve_picture(curves, color, name)) if curves else None,
        "columns": [*(["seed"] if by_seed else []), *tables[0][1].columns] if tables else [],
        "rows": rows,
        "folded": len(rows) > FOLDED,
        "texts": [texts[0][1]] if alike else [f"Seed {seed}: {text}" for seed, text in texts],
    }


def _cell(value: object) -> str:
    return DASH if value is None else plain_value(value)
