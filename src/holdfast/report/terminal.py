"""The result as a table for a terminal of 80 columns."""

from rich.table import Table
from rich.text import Text

from holdfast.evaluation.metrics import Figure
from holdfast.evaluation.statistics import Estimate
from holdfast.report.records import Arm
from holdfast.report.result import RunResult
from holdfast.report.summary import DASH, arm_name, headline_arms, interval, percent, warnings_of

__all__ = ["render_table"]

TIMES = "\N{MULTIPLICATION SIGN}"
COLUMNS: tuple[tuple[Figure, str], ...] = (
    ("hs", "harmful\nscore"),
    ("hs_content", "of it\nright"),
    ("over_refusal", "over-\nrefusal"),
    ("fa", "task\naccuracy"),
    ("usefulness", "useful-\nness"),
)


def render_table(result: RunResult) -> Table:
    """Return the table of the page's first view; print it with ``rich.console.Console``.

    Every figure is a mean over seeds in percent with its 95 % interval below it.
    """
    arms = headline_arms(result)
    table = Table(box=None, padding=(0, 1), pad_edge=False, caption=_caption(result))
    table.caption_justify = "left"
    table.add_column("", justify="left", vertical="top")
    shown: list[Figure] = []
    for figure, title in COLUMNS:
        if any(figure in arm.figures for arm in arms):
            shown.append(figure)
            table.add_column(title, justify="right", no_wrap=True)
    table.add_column("time\nvs plain", justify="right", no_wrap=True)
    for arm in arms:
        cells = [_cell(arm.figures.get(figure)) for figure in shown]
        table.add_row(_name(arm), *cells, _time(result.relative_time(arm)))
    return table


def _name(arm: Arm) -> Text:
    """Return an arm's name; a combination takes a line for each defense."""
    return Text(arm_name(arm.defense).replace(" + ", "\n+ ").replace("before fine", "before\nfine"))


def _cell(estimate: Estimate | None) -> Text:
    """Return a figure with its interval below it."""
    if estimate is None:
        return Text(DASH)
    return Text.assemble(percent(estimate.value), (f"\n{interval(estimate)}", "dim"))


def _time(ratio: float | None) -> str:
    """Return a cost relative to plain fine-tuning."""
    return DASH if ratio is None else f"{ratio:.2f} {TIMES}"


def _caption(result: RunResult) -> Text:
    """Return what the figures are, then the warnings."""
    caption = Text("Means over seeds, 95 % intervals below.", style="dim")
    for warning in warnings_of(result):
        caption.append(f"\n! {warning}")
    return caption
