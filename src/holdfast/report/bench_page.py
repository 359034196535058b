"""The page of a bench: worst cases first, then curves, fronts, and every attack's own table."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from markupsafe import Markup

from holdfast.comparisons.doses import Dose, doses
from holdfast.comparisons.scenes import scenes
from holdfast.comparisons.worst_case import summarize
from holdfast.evaluation.metrics import Figure
from holdfast.report.answers import SCOPE, answers, warnings_of
from holdfast.report.bench_answers import bench_answers
from holdfast.report.environment import columns_of, environment, picture
from holdfast.report.figures.doses import panel
from holdfast.report.figures.fronts import front_picture
from holdfast.report.figures.looks import Look, looks
from holdfast.report.sections.samples import samples
from holdfast.report.sections.settings import TraceRow, settings_of
from holdfast.report.sections.worst import heat_rows, views
from holdfast.results.attacks import attack_text, attacked, attacks_of
from holdfast.results.comparisons import BenchSummary, EqualAccuracy, Front, FrontRow
from holdfast.results.records import BEFORE, PLAIN, Arm, Attack
from holdfast.results.result import RunResult
from holdfast.results.words import shown

__all__ = ["is_bench", "render_bench"]

PANELS = 24
"""Most small pictures of one curve; the tables hold the other arms; ours."""
BLOCKS = 3
"""Most sets of equal knobs that one knob's curves are drawn for; ours."""
FRONTS = 6
"""Most attacks whose fronts are drawn; ours."""
SAMPLED = 16
"""Most arms whose sample answers are shown; ours."""
WARNINGS = 8
"""More warnings than this are folded; ours."""


@dataclass(frozen=True)
class Curves:
    """One knob's small pictures, by arm."""

    dose: Dose
    panels: list[tuple[str, bool, Markup | None]]
    left: int


@dataclass(frozen=True)
class FrontView:
    """One front as the page shows it."""

    front: Front
    title: str
    picture: Markup | None
    legend: list[tuple[str, Look, bool]]
    rows: list[FrontRow]
    against: list[str]
    equal: list[EqualAccuracy]


@dataclass(frozen=True)
class AttackPart:
    """One attack's arms, as the tables' macro takes them."""

    title: str
    arms: tuple[Arm, ...]
    columns: list[tuple[Figure, str]]


def is_bench(result: RunResult) -> bool:
    """Return whether the result's arms were run under attacks that a bench varied."""
    return any(arm.attack is not None for arm in result.arms)


def render_bench(result: RunResult, *, show_harmful: bool = False) -> str:
    """Return a bench's page as text."""
    summary = result.bench or summarize(result.arms)
    look = looks(result.arms)
    redacted = result.real_model and not show_harmful
    warnings = warnings_of(result)
    judges = dict.fromkeys(run.judge for arm in result.arms for run in arm.runs if run.judge)
    return (
        environment()
        .get_template("bench.html.j2")
        .render(
            is_bench=True,
            result=result,
            answers=bench_answers(summary) or answers(result),
            warnings=warnings[:WARNINGS],
            more_warnings=warnings[WARNINGS:],
            heat=heat_rows(summary),
            views=views(summary),
            curves=_curves(result.arms, look),
            fronts=_fronts(result.arms, summary, look),
            parts=_parts(result.arms),
            trace=_trace(result.arms),
            samples=samples(_sampled(result.arms, summary), redacted=redacted),
            many=True,
            looks=look,
            settings_of_arms=settings_of(scenes(result)),
            redacted=redacted,
            judges=list(judges),
            scope=SCOPE,
            ends=partial(shown, look="bracketed"),
            gap=partial(shown, look="points"),
        )
    )


def _curves(arms: Sequence[Arm], look: Mapping[str, Look]) -> list[Curves]:
    """Return the drawn curves: of each knob the sets of equal knobs with most arms."""
    drawn: list[Curves] = []
    taken: dict[str, int] = {}
    for dose in doses(arms):
        taken[dose.knob] = taken.get(dose.knob, 0) + 1
        if taken[dose.knob] > BLOCKS:
            continue
        names = list(dose.curves)
        control = {arm.defense for points in dose.curves.values() for _, arm in points
                   if arm.is_control}  # fmt: skip
        panels = [(name, name in control, picture(panel(dose, name, look)))
                  for name in names[:PANELS]]  # fmt: skip
        drawn.append(Curves(dose, panels, len(names[PANELS:])))
    return drawn


def _fronts(
    arms: Sequence[Arm], summary: BenchSummary, look: Mapping[str, Look]
) -> list[FrontView]:
    """Return the fronts of the attacks under which most arms of families ran."""
    found: list[FrontView] = []
    for number, front in enumerate(summary.fronts[:FRONTS]):
        own = {arm.defense: arm for arm in arms if arm.attack == front.attack}
        families = looks(Arm(defense=family) for family in front.curves)
        styles = {PLAIN: look[PLAIN]} | {family: families[family] for family in front.curves}
        control = {row.family for row in front.rows if row.control and row.family}
        found.append(
            FrontView(
                front=front,
                title=attack_text(front.attack, named=True),
                picture=picture(front_picture(front, own, styles, f"front{number}")),
                legend=[(family, styles[family], family in control) for family in front.curves],
                rows=[row for row in front.rows if row.on_front or row.family],
                against=list(dict.fromkeys(name for e in front.equal for name in e.versus)),
                equal=front.equal,
            )
        )
    return found


def _parts(arms: Sequence[Arm]) -> list[AttackPart]:
    """Return every attack with its arms, the untouched model of its scenario first."""
    found: list[AttackPart] = []
    untouched = [arm for arm in arms if arm.defense == BEFORE]
    for scenario, members in attacked(arms).items():
        before = [arm for arm in untouched if arm.scenario in ("", scenario)][:1]
        for attack in attacks_of(members):
            own = (*before, *(arm for arm in members if arm.attack == attack))
            title = attack_text(attack, named=True)
            found.append(AttackPart(title, own, columns_of(own)))
    return [part for part in found if part.columns]


def _trace(arms: Iterable[Arm]) -> list[TraceRow]:
    """Sum the trace of all runs by defense and hook; the first column counts the runs."""
    sums: dict[tuple[str, str], tuple[int, int, float]] = {}
    for entry in (entry for arm in arms for run in arm.runs for entry in run.trace):
        runs, calls, seconds = sums.get((entry.defense, entry.hook), (0, 0, 0.0))
        key = (entry.defense, entry.hook)
        sums[key] = (runs + 1, calls + entry.calls, seconds + entry.seconds)
    return [TraceRow(str(runs), *key, calls, seconds)
            for key, (runs, calls, seconds) in sums.items()]  # fmt: skip


def _sampled(arms: Sequence[Arm], summary: BenchSummary) -> list[Arm]:
    """Return the compared arms under the attack that hurt plain fine-tuning most."""
    if not summary.worst:
        return []
    table = summary.worst[0]
    worst: Attack | None = next((r.attack for r in table.rows if r.defense == PLAIN), None)
    compared = [row.defense for row in table.rows]
    own = [arm for arm in arms if arm.attack == worst and arm.defense in compared]
    return own[:SAMPLED] if worst is not None else []
