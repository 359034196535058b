"""The result as tables for a terminal of 80 columns, one for each scenario."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from holdfast.comparisons.scenes import Scene, scenes
from holdfast.evaluation.interval import Interval
from holdfast.evaluation.metrics import Figure
from holdfast.report.answers import warnings_of
from holdfast.report.judge_warnings import kappa_text
from holdfast.report.narrow import Fitting, figures_whole
from holdfast.report.sections.loop.attack_lines import beyond, figure, not_run
from holdfast.report.sections.loop.attack_lines import lines as attack_lines
from holdfast.report.sections.worst import WorstView, views
from holdfast.results.result import RunResult
from holdfast.results.words import DASH, arm_name, percent, score, shown, words_in

__all__ = ["cell", "plain_table", "render_table", "tables_beside"]

TIMES = "\N{MULTIPLICATION SIGN}"
TIME = "time\nvs plain"
COLUMNS: dict[Figure, str] = {
    "hs": "harmful\nscore",
    "hs_content": "of it\n{content}",
    "over_refusal": "over-\nrefusal",
    "fa": "task\naccuracy",
    "usefulness": "useful-\nness",
}


def render_table(result: RunResult) -> Group:
    """Return the tables of the page's first view; print them with ``rich.console.Console``.

    Every figure is a mean over seeds in percent with its 95 % interval below it. Each table stands
    under its scenario's title. A bench of several attacks shows its worst cases: one table for each
    scenario and not for each attack.
    """
    if result.bench is not None and any(len(table.attacks) > 1 for table in result.bench.worst):
        tables = [_worst(view) for view in views(result.bench)]
    else:
        tables = [_means(result, scene) for scene in scenes(result)]
    return Group(*tables, *_beside(result), *tables_beside(result), _caption(result))


def tables_beside(result: RunResult) -> list[Padding | Text]:
    """Return what stands beside the arms' figures, and alone where there are none."""
    return [*_attacks(result), *_benchmarks(result)]


def plain_table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> Padding:
    """Return a table without lines under its title; columns without a head are words.

    A terminal too narrow for it shows a line for each figure instead.
    """
    bold = Text(title, style="bold") if title else None
    table = Table(box=None, padding=(0, 1), pad_edge=False, title=bold, title_justify="left")
    for head in heads:
        # A name that is cut short is another's as well: it is folded where there is no room.
        how: Any = {"justify": "right", "no_wrap": True} if head else {"overflow": "fold"}
        table.add_column(head, **how)
    found = list(rows)
    for row in found:
        table.add_row(*row)
    return Padding(Fitting(table, heads, found, figures_whole(heads, found)), (0, 0, 1, 0))


def _benchmarks(result: RunResult) -> list[Padding]:
    """Return the table of what another program measured, if one did."""
    found = result.benchmarks
    if found is None:
        return []
    rows = [
        (f"{one.task} {one.metric}", score(one.value), score(one.stderr), str(one.n))
        for one in found.scores
    ]
    return [plain_table(found.tool, ("", "value", "standard\nerror", "questions"), rows)]


def _attacks(result: RunResult) -> list[Padding | Text]:
    """Return the table of the attacks, the headline first, if any were made."""
    team = result.red_team
    if team is None or not team.attacks:
        return []
    rows = [
        (Text(line.title, style="bold" if line.lead else ""),
         Text.assemble(figure(line.counted)[0], (f"\n{figure(line.counted)[1]}", "dim")),
         Text(DASH if line.right is None else percent(line.right)), Text(str(line.counted.unclear)))
        for line in attack_lines(team)
    ]  # fmt: skip
    title = f"Under attack: {team.attacks[0].counted.n} harmful questions, exact intervals"
    heads = ("", "harmful", f"of it\n{words_in(result.arms)['content']}", "unclear")
    told = [text for text in (beyond(team), *not_run(team)) if text]
    return [plain_table(title, heads, rows), *(Text(text, style="dim") for text in told), Text("")]


def _means(result: RunResult, scene: Scene) -> Padding:
    """Return one scenario's table."""
    had = {figure for arm in scene.arms for figure in arm.figures}
    columns: list[Figure] = [figure for figure in COLUMNS if figure in had]
    rows = [
        (_named(arm.defense, result.command), *(cell(arm.figures.get(f)) for f in columns),
         _time(result.relative_time(arm)))
        for arm in scene.arms
    ]  # fmt: skip
    return plain_table(scene.title, ("", *(_head(figure, scene) for figure in columns), TIME), rows)


def _beside(result: RunResult) -> list[Padding]:
    """Return what further judges make of the same answers, and their agreement with the first."""
    judges = dict.fromkeys(n for arm in result.arms for n, had in arm.beside.items() if had)
    return [_second(result, judge) for judge in judges]


def _second(result: RunResult, judge: str) -> Padding:
    arms = [arm for arm in result.arms if judge in arm.beside]
    had = {figure for arm in arms for figure in arm.beside[judge]}
    columns: list[Figure] = [f for f in COLUMNS if f in had and f != "hs_content"]
    rows = [
        (_named(arm.defense, result.command), *(cell(arm.beside[judge].get(f)) for f in columns))
        for arm in arms
    ]
    told = {one.figure: kappa_text(one) for one in result.agreement
            if one.second == judge and not one.arm}  # fmt: skip
    kappa = (told.get(figure, DASH).replace(" ", "\n", 1).partition(":")[0] for figure in columns)
    rows.append((Text("\N{GREEK SMALL LETTER KAPPA} with the first"), *map(Text, kappa)))
    heads = ("", *(COLUMNS[figure] for figure in columns))
    return plain_table(f"The same answers by {judge}", heads, rows)


def _head(figure: Figure, scene: Scene) -> str:
    """Return a column's head, in the words of the judge."""
    return COLUMNS[figure].format(**words_in(scene.arms))


def _worst(view: WorstView) -> Padding:
    """Return one scenario's worst cases over its attacks."""
    many = len(view.attacks) > 1
    rows: list[tuple[str | Text, ...]] = []
    for line in view.lines:
        row = line.row
        name = _named(row.defense + (" (control)" if row.control else ""))
        under = (line.attack.replace(", ", "\n") or DASH,) if many else ()
        figures = cell(row.hs), cell(row.over_refusal), cell(row.fa)
        rows.append((name, *figures, *under, _time(row.relative_time)))
    title = view.title + (f": worst of {len(view.attacks)} attacks" if many else "")
    heads = (
        "",
        COLUMNS["hs"],
        COLUMNS["over_refusal"],
        COLUMNS["fa"],
        *(("under",) if many else ()),
        TIME,
    )
    return plain_table(title, heads, rows)


def _named(defense: str, command: str = "") -> Text:
    """Return an arm's name; a combination takes a line for each defense, a control for its kind."""
    name = arm_name(defense, command)
    for word in (" + ", " (", " fine"):
        name = name.replace(word, f"\n{word.strip()}{' ' if word.endswith(' ') else ''}")
    return Text(name)


def cell(found: Interval | None, gap: str = "\n") -> Text:
    """Return a figure with its interval, by default below it."""
    if found is None:
        return Text(DASH)
    return Text.assemble(percent(found.value), (f"{gap}{shown(found)}", "dim"))


def _time(ratio: float | None) -> str:
    """Return a cost relative to plain fine-tuning."""
    return DASH if ratio is None else f"{ratio:.2f} {TIMES}"


def _caption(result: RunResult) -> Text:
    """Return what the figures are, then the warnings."""
    caption = Text("Means over seeds, 95 % intervals below.", style="dim")
    for warning in warnings_of(result):
        caption.append(f"\n! {warning}")
    return caption
