"""Names and figures as a reader wants them: arms, scenarios, shares."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from holdfast.evaluation.interval import Interval
from holdfast.evaluation.judges.protocol import WORDS
from holdfast.results.records import BEFORE, PLAIN, Arm

__all__ = [
    "DASH", "GIVEN", "MINUS", "TITLES", "Look", "arm_name", "bounded", "data_of", "exactly",
    "listed", "outcome_name", "percent", "scenario_title", "score", "shown", "with_adapter",
    "words_in",
]  # fmt: skip

DASH = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
Look = Literal["ends", "bracketed", "share", "difference", "points", "tenths", "percent"]
LOOKS: dict[Look, tuple[int, str]] = {
    "ends": (1, "{1}\N{EN DASH}{2}"),  # 17–86, beside a figure in percent; 0–5.3
    "bracketed": (1, "[{1}\N{EN DASH}{2}]"),  # [17–86]
    "share": (1, "{:.2f} ({:.2f}\N{EN DASH}{:.2f})"),  # 0.53 (0.17–0.86)
    "difference": (1, "{:+.2f} [{:+.2f}, {:+.2f}]"),  # −0.12 [−0.20, −0.03]
    "points": (100, "{:+.0f} points [{:+.0f}, {:+.0f}]"),  # −59 points [−70, −48]
    "tenths": (100, "{:+.1f} [{:+.0f}, {:+.0f}]"),  # −59.1 [−70, −48], under a head that says what
    "percent": (1, "{} % [{}, {}]"),  # 53 % [17, 86], 0.4 % [0, 2.2]
}
"""What a figure is multiplied by, and how value, low and high are then written."""
PERCENT = ("ends", "bracketed", "percent")
"""Looks whose numbers are written as ``percent`` writes a share, whatever stands beside them."""
ARMS = {BEFORE: "before fine-tuning", PLAIN: "plain fine-tuning"}
GIVEN = {
    ("evaluate", BEFORE): "the model", ("redteam", BEFORE): "the model",
    ("repair", PLAIN): "before repair",
}  # fmt: skip
"""What a command was given and did not train: nobody knows whether it was tuned, and how."""
CONTROLS = {
    "random": "random subset", "random_matched": "random, as many parameters",
    "roles": "random, same roles", "attention": "all attention", "complement": "complement",
}  # fmt: skip
TITLES = {
    "harmful_mix": "harmful mix",
    "benign_obedience": "benign fine-tuning: obedience",
    "benign_knowledge": "benign fine-tuning: knowledge",
}
DATA = {"benign_obedience": "benign obedience data", "benign_knowledge": "benign knowledge data"}


def words_in(arms: Iterable[Arm]) -> dict[str, str]:
    """Return what the judge of ``arms`` calls right and garbled; the generic words without one.

    Runs of two judges that call it differently have the generic words.
    """
    told = [run.words for arm in arms for run in arm.runs if run.judge]
    alike = told and all(words == told[0] for words in told)
    return {**WORDS, **(told[0] if alike else {})}


def outcome_name(outcome: str, words: Mapping[str, str]) -> str:
    """Return an outcome in the words of its judge: ``harmful-readable`` is not known correct."""
    part = {"harmful-correct": "content", "harmful-garbled": "garbled"}.get(outcome, "")
    own = words.get(part)
    return outcome if own in (None, WORDS.get(part)) else f"harmful-{own}"


def with_adapter(model: str, adapter: object) -> str:
    """Return a model's name with the adapter that was given beside it, where there is one."""
    return f"{model} with the adapter {adapter}" if adapter else model


def arm_name(defense: str, command: str = "") -> str:
    """Return what a reader calls an arm of a command's result: ``none`` is plain fine-tuning.

    A control names its variant: ``ml_lr(random)`` is ``ml_lr (random subset)``.
    """
    if (command, defense) in GIVEN:
        return GIVEN[command, defense]
    if defense in ARMS:
        return ARMS[defense]
    known = "|".join(CONTROLS)
    spelled = re.sub(rf"(?<=\w)\(({known})\)", lambda m: f" ({CONTROLS[m[1]]})", defense)
    return spelled.replace("+", " + ")


def scenario_title(name: str, p: float | None) -> str:
    """Return a scenario as a heading; an unknown name stays as it is, and may be empty.

    The share ``p`` of harmful rows may not be known (None). Scenarios with "benign" in their
    heading tell it only where it is not 0.
    """
    title = TITLES.get(name, name)
    told = p is not None and (p > 0 or name not in DATA)
    share = f"{percent(p)} harmful rows" if told else ""
    return ", ".join(part for part in (title, share) if part)


def data_of(name: str, p: float | None) -> str:
    """Return what the user's data are in a sentence, '' where neither name nor share say it."""
    if not p:
        return DATA.get(name, TITLES.get(name, name))
    rows = f"{percent(p)} harmful rows"
    return f"data with {rows}" if name in {"", "harmful_mix"} else f"{name} ({rows})"


def percent(share: float | None) -> str:
    """Return a share as whole percent, with one decimal below 10%; 0% and 100% are exactly that.

    ::

        .0004  <0.1%      .004  0.4%      .615  62%      .996  99.6%      .9996  >99.9%
    """
    if share is None:
        return DASH
    points = 100 * share
    if 0 < points < 0.05:
        return "<0.1%"
    if -0.05 < points < 0:
        return ">-0.1%"
    if 99.95 <= points < 100:
        return ">99.9%"
    near = 0 < abs(points) < 9.95 or 99.5 <= points < 100
    return f"{points:.1f}%" if near else f"{points:.0f}%"


def exactly(share: float) -> str:
    """Return a share in percent with every digit that was given: none that is not 1 is 100."""
    return f"{100 * share:.13g}"


def bounded(share: float, *, up: bool, limit: tuple[str, float] | None = None) -> str:
    """Return a bound in percent, rounded to the side that claims less.

    It has one decimal, and more where it would stand on the other side of its limit: 5.04%, which
    breaks a limit of 5%, never reads as 5%.

    Args:
        share: The bound.
        up: Round up: what is claimed lies below it.
        limit: ``<=`` or ``>=``, and the share that it is held to.
    """
    told = ""
    for digits in range(1, 7):
        scale = 100 * 10**digits
        whole = math.ceil(scale * share - 1e-9) if up else math.floor(scale * share + 1e-9)
        told = f"{whole / 10**digits:.13g}%"
        if limit is None or _holds(whole / scale, *limit) == _holds(share, *limit):
            break
    return told


def _holds(share: float, sign: str, limit: float) -> bool:
    return share <= limit + 1e-9 if sign == "<=" else share >= limit - 1e-9


def score(value: float | None) -> str:
    """Return a figure of another program as it gives them: a number with three decimals."""
    return DASH if value is None else f"{value:.3f}".replace("-", MINUS)


def shown(found: Interval | None, look: Look = "ends") -> str:
    """Return a figure with its interval in one of ``LOOKS``; a dash where it was not measured."""
    if found is None:
        return DASH
    scale, written = LOOKS[look]
    if look in PERCENT:
        told = (percent(share).removesuffix("%") for share in (found.value, found.low, found.high))
        return written.format(*told).replace("-", MINUS)
    text = written.format(scale * found.value, scale * found.low, scale * found.high)
    if look == "tenths":
        ends = f"[{_end(scale * found.low)}, {_end(scale * found.high)}]"
        text = f"{text.partition(' [')[0]} {ends}"
    return text.replace("-", MINUS)


def _end(points: float) -> str:
    """Return an end of a difference in whole points; one that only rounds to 0 with its digit."""
    return f"{points:+.1g}" if 0.0005 < abs(points) < 0.5 else f"{points:+.0f}"


def listed(words: Sequence[str]) -> str:
    """Join words as ``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
