"""What a release must hold, as a user writes it: ``hs<=.05``, ``fa>=0.8``."""

import re
from dataclasses import dataclass
from types import MappingProxyType

from holdfast.errors import ConfigError, nearest
from holdfast.evaluation.metrics import Figure

__all__ = ["METRICS", "Metric", "Requirement", "parse_requirement", "parse_requirements"]

_FORM = re.compile(r"\s*([A-Za-z_][\w-]*)\s*(<=|>=|=<|=>|==|<|>|=|≤|≥)\s*(.*?)\s*")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)")
_SIGNS = {"≤": "<=", "≥": ">=", "=<": "<=", "=>": ">="}


@dataclass(frozen=True)
class Metric:
    """A share that can be limited."""

    name: str
    figure: Figure
    """What the result calls it."""
    sign: str
    """``<=`` where less is better, ``>=`` where more is."""
    words: str
    """What it is a share of, in words."""
    relative: bool = False
    """Whether it is the change since before tuning, and needs that model's answers too."""


METRICS = MappingProxyType({
    one.name: one for one in (
        Metric("hs", "hs", "<=", "harmful requests answered"),
        Metric("over_refusal", "over_refusal", "<=", "harmless questions refused"),
        Metric("fa", "fa", ">=", "questions of the task answered right"),
        Metric("usefulness", "usefulness", ">=", "questions of usefulness answered right"),
        Metric("hs_rise", "hs", "<=", "rise of the harmful score", relative=True),
        Metric("over_refusal_rise", "over_refusal", "<=", "rise of over-refusal", relative=True),
        Metric("task_drop", "fa", "<=", "loss of task accuracy", relative=True),
        Metric("usefulness_drop", "usefulness", "<=", "loss of usefulness", relative=True),
    )
})  # fmt: skip
"""What can be limited, by name. Garbled harm counts as harm: ``hs`` has both."""
_PARTS = ("hs_content", "hs_garbled")


@dataclass(frozen=True)
class Requirement:
    """One limit.

    Raises:
        ConfigError: The metric is unknown, or the limit is no share in [0, 1].
    """

    metric: str
    limit: float

    def __post_init__(self) -> None:
        """Refuse what no answer could be held against."""
        _check_metric(self.metric, f"{self.metric} {self.limit:g}")
        sign = METRICS[self.metric].sign
        free = self.limit >= 1 if sign == "<=" else self.limit <= 0
        if not 0 <= self.limit <= 1 or free:
            why = "allows everything" if free and 0 <= self.limit <= 1 else "is no share"
            raise ConfigError(
                f"`require={self.metric}{sign}{self.limit:g}`: a limit of {self.limit:g} {why}; "
                f"give a share such as {self.metric}{sign}{'.05' if sign == '<=' else '.8'}"
            )
        impossible = self.limit <= 0 if sign == "<=" else self.limit >= 1
        if impossible:
            raise ConfigError(
                f"`require={self.metric}{sign}{self.limit:g}` can be shown by no number of "
                f"prompts; give a limit that leaves room, such as "
                f"{self.metric}{sign}{'.01' if sign == '<=' else '.99'}"
            )

    def __str__(self) -> str:
        """Write it as it is read."""
        return f"{self.metric}{METRICS[self.metric].sign}{self.limit:.15g}"

    @property
    def known(self) -> Metric:
        """What its metric is."""
        return METRICS[self.metric]

    @property
    def most_bad(self) -> float:
        """The largest share of bad answers that it allows: ``fa>=.8`` allows .2 wrong ones."""
        return self.limit if self.known.sign == "<=" else 1 - self.limit


def parse_requirement(text: str) -> Requirement:
    """Return the requirement that ``text`` writes, such as ``hs<=.05`` or ``fa >= 80%``.

    Raises:
        ConfigError: It is none, its metric is unknown, or it points the wrong way.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise ConfigError(
            f"`require={text}` is no limit; expected METRIC<=SHARE or METRIC>=SHARE, such as "
            "hs<=.05 (in a shell in quotes)"
        )
    metric, sign, number = found[1].replace("-", "_"), found[2], found[3]
    _check_metric(metric, text)
    wanted = METRICS[metric].sign
    if _SIGNS.get(sign, sign) != wanted:
        raise ConfigError(
            f"`require={text}`: {metric} ({METRICS[metric].words}) is limited with {wanted}, "
            f"not {sign}; write {metric}{wanted}{number or '.05'}"
        )
    return Requirement(metric, _share(number, text))


def parse_requirements(texts: list[str] | tuple[str, ...]) -> tuple[Requirement, ...]:
    """Return all requirements, in order.

    Raises:
        ConfigError: One is none, or two limit the same metric.
    """
    found = tuple(parse_requirement(text) for text in texts)
    names = [one.metric for one in found]
    for place, one in enumerate(found):
        if one.metric in names[:place]:
            raise ConfigError(f"`require={one}`: {one.metric} is limited twice; keep one of them")
    return found


def _check_metric(metric: str, text: str) -> None:
    if metric in METRICS:
        return
    if metric in _PARTS:
        raise ConfigError(
            f"`require={text}`: {metric} is a part of hs, and garbled harm is harm; limit hs"
        )
    known = ", ".join(METRICS)
    hint = nearest(metric, METRICS)
    raise ConfigError(f"`require={text}`: there is no metric {metric!r}; known: {known}.{hint}")


def _share(number: str, text: str) -> float:
    percent = number.endswith("%")
    digits = number.removesuffix("%").strip()
    if not _NUMBER.fullmatch(digits):
        raise ConfigError(f"`require={text}`: {number!r} is no number; give a share such as .05")
    value = float(digits)
    if not percent and value > 1:
        raise ConfigError(
            f"`require={text}`: {number} is above 1, and limits are shares; "
            f"write {value / 100:g} or {number}% for percent"
        )
    return value / 100 if percent else value
