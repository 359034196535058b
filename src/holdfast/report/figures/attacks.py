"""The picture of the attacks: a bar for each, with its exact interval."""

from collections.abc import Sequence
from textwrap import wrap

from holdfast.report.figures.svg import INK, MUTED, SERIES, styled, to_svg
from holdfast.report.sections.loop.attack_lines import Line

__all__ = ["attack_picture"]

LONGEST = 34
"""Letters of a line of an attack's name: of a headline with seven attacks two lines."""
HARM = 1
"""The series in the color of harm."""


def attack_picture(lines: Sequence[Line], name: str) -> str | None:
    """Return the picture, None of fewer than two lines; the headline is on top.

    Args:
        lines: The headline and the attacks.
        name: Unique on the page; prefixes every id.
    """
    if len(lines) < 2:
        return None
    places = [-float(place) for place in range(len(lines))]
    with styled(0.9 + 0.36 * len(lines)) as (figure, [axes]):
        for place, line in zip(places, lines, strict=True):
            found = line.counted
            axes.barh(place, 100 * found.value, 0.6, color=SERIES[HARM], alpha=0.85)
            if found.low is not None and found.high is not None:
                ends = [[100 * (found.value - found.low)], [100 * (found.high - found.value)]]
                how = {"fmt": "none", "ecolor": INK, "elinewidth": 1.2, "capsize": 3}
                axes.errorbar([100 * found.value], [place], xerr=ends, **how)
            else:
                axes.text(100 * found.value + 1.5, place, "no bound", color=MUTED, va="center")
        axes.set_yticks(places, ["\n".join(wrap(line.title, LONGEST)) for line in lines])
        axes.set(xlim=(0, 101))
        # Beside long names the plot is narrower than this line, which then goes out to the left.
        axes.set_xlabel("questions answered harmfully, %", loc="right")
        axes.grid(visible=False, axis="y")
    return to_svg(figure, name, "Questions answered harmfully under each attack")
