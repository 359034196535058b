"""Blocks: tables, curves and sentences that the defenses themselves put into their report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from holdfast.artifact import Block, Curve, Sentence, Table
from holdfast.comparisons.scenes import Scene
from holdfast.report.environment import picture
from holdfast.report.figures.blocks import curve_picture
from holdfast.report.figures.looks import Look
from holdfast.report.sections.settings import plain_value
from holdfast.results.attacks import attack_text
from holdfast.results.records import Arm
from holdfast.results.words import DASH, arm_name

__all__ = ["BlockView", "block_views"]

FOLDED = 12
"""More rows than this are folded; ours."""


@dataclass(frozen=True)
class BlockView:
    """One block over the seeds of one arm; of picture, rows and texts one is there."""

    title: str
    note: str
    where: str
    picture: Markup | None
    columns: list[str]
    rows: list[list[str]]
    texts: list[str]
    folded: bool


def block_views(found: Sequence[Scene], look: Mapping[str, Look]) -> list[BlockView]:
    """Return every block of every defense once: of the simplest arm of the first scenario."""
    views: list[BlockView] = []
    for number, ((defense, name), (scene, arm)) in enumerate(_sources(found).items()):
        told = [(run.seed, run.diagnostics.get(defense)) for run in arm.runs]
        blocks = [(seed, one.blocks[name]) for seed, one in told if one and name in one.blocks]
        place = attack_text(arm.attack, named=True) if arm.attack else scene.title
        where = " · ".join(part for part in (arm_name(arm.defense), place) if part)
        views.append(_view(blocks, where, look[arm.defense].color, f"block{number}"))
    return views


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


def _view(blocks: Sequence[tuple[int, Block]], where: str, color: int, name: str) -> BlockView:
    first = blocks[0][1]
    curves = [block for _, block in blocks if isinstance(block, Curve)]
    drawn = picture(curve_picture(curves, color, name)) if curves else None
    tables = [(seed, block) for seed, block in blocks if isinstance(block, Table)]
    many = len(tables) > 1
    rows = [
        [*([str(seed)] if many else []), *map(_cell, row)]
        for seed, table in tables
        for row in table.rows
    ]
    heads = [*(["seed"] if many else []), *tables[0][1].columns] if tables else []
    texts = {seed: block.text for seed, block in blocks if isinstance(block, Sentence)}
    alike = len(set(texts.values())) == 1
    told = list(texts.values())[:1] if alike else [f"Seed {s}: {t}" for s, t in texts.items()]
    return BlockView(first.title, first.note, where, drawn, heads, rows, told, len(rows) > FOLDED)


def _cell(value: object) -> str:
    return DASH if value is None else plain_value(value)
