"""The report: one self-contained page without scripts, that asks nothing of the network."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from holdfast.comparisons.scenes import Scene, scenes
from holdfast.evaluation.metrics import Figure
from holdfast.files.whole import write_whole
from holdfast.report.answers import SCOPE, answers, warnings_of
from holdfast.report.bench_page import is_bench, render_bench
from holdfast.report.environment import columns_of, environment, picture
from holdfast.report.figures import arms as figures
from holdfast.report.figures.looks import Look, looks
from holdfast.report.sections.blocks import block_views
from holdfast.report.sections.movement import MovementRow, movement_rows, movement_sentence
from holdfast.report.sections.samples import Sample, samples
from holdfast.report.sections.settings import (
    TraceRow,
    measured_values,
    settings_of,
    trace_rows,
)
from holdfast.results.records import Arm
from holdfast.results.result import RunResult

__all__ = ["render", "write_report"]


@dataclass(frozen=True)
class Part:
    """One scenario as the page shows it; empty where nothing was measured."""

    scene: Scene
    columns: list[tuple[Figure, str]]
    utility: Markup | None
    losses: Markup | None
    movement: list[MovementRow]
    moved: str
    gates: list[tuple[str, str, list[str]]]
    trace: list[TraceRow]
    samples: list[Sample]

    @property
    def arms(self) -> tuple[Arm, ...]:
        """The scenario's arms."""
        return self.scene.arms

    @property
    def title(self) -> str:
        """The scenario's heading."""
        return self.scene.title


def write_report(result: RunResult, path: str | Path, *, show_harmful: bool = False) -> Path:
    """Write the page, whole or not at all, and return its path.

    Args:
        result: What a run has measured.
        path: The HTML file.
        show_harmful: Show harmful prompts and answers of a real model instead of redacting them.

    Raises:
        RunError: The file cannot be written.
    """
    target = Path(path)
    write_whole(target, render(result, show_harmful=show_harmful))
    return target


def render(result: RunResult, *, show_harmful: bool = False) -> str:
    """Return the page as text."""
    if is_bench(result):
        return render_bench(result, show_harmful=show_harmful)
    shown = scenes(result)
    look = looks(arm for scene in shown for arm in scene.arms)
    redacted = result.real_model and not show_harmful
    parts = [_part(scene, number, look, redacted) for number, scene in enumerate(shown)]
    judges = dict.fromkeys(r.judge for s in shown for arm in s.arms for r in arm.runs if r.judge)
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            result=result,
            parts=parts,
            many=len(parts) > 1,
            looks=look,
            answers=answers(result),
            warnings=warnings_of(result),
            blocks=block_views(shown, look),
            settings_of_arms=settings_of(shown),
            redacted=redacted,
            judges=list(judges),
            scope=SCOPE,
        )
    )


def _part(scene: Scene, number: int, look: Mapping[str, Look], redacted: bool) -> Part:
    """Return what the page shows of one scenario; ``number`` keeps its pictures' ids apart."""
    arms = scene.arms
    utility = figures.safety_utility(arms, look, f"utility{number or ''}", scene.title)
    losses = figures.losses(arms, look, f"losses{number or ''}", scene.title)
    return Part(
        scene=scene,
        columns=columns_of(arms),
        utility=picture(utility),
        losses=picture(losses),
        movement=movement_rows(arms),
        moved=movement_sentence(arms),
        gates=measured_values(arms),
        trace=trace_rows(arms),
        samples=samples(arms, redacted=redacted),
    )
