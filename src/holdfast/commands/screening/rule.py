"""``fail_if``: when a screening counts as failed, in a small language that is parsed, not run.

::

    rule  = both ("or" both)*
    both  = term ("and" term)*
    term  = NAME ("<" | "<=" | ">" | ">=" | "==") NUMBER ["%"]

NAME is a check, an action or a severity, and stands for how many rows have it; with ``%`` for their
share. A severity counts graver rows too: what fails on an alarm fails on what no run may train on.
A check that speaks of the set alone is 1 or 0 and has no share. A component of the score (``push``,
...) stands for the set's percentile.
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from holdfast.errors import ConfigError, nearest

__all__ = ["Rule", "Term"]

_TERM = re.compile(r"\s*([A-Za-z][\w-]*)\s*(<=|>=|==|<|>)\s*(\d+(?:\.\d+)?|\.\d+)\s*(%?)\s*")
_SIGNS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq,
}  # fmt: skip
EXPECTED = "expected terms such as drop>0 or dup>5%, joined by 'or' and 'and'"


@dataclass(frozen=True)
class Term:
    """One comparison."""

    name: str
    sign: str
    bound: float
    share: bool

    def holds(self, values: Mapping[str, float], rows: int) -> bool:
        """Tell whether it holds for these values by name."""
        value = values[self.name]
        return _SIGNS[self.sign](100 * value / max(rows, 1) if self.share else value, self.bound)

    def __str__(self) -> str:
        """Return it as it is written."""
        return f"{self.name}{self.sign}{self.bound:g}{'%' if self.share else ''}"


@dataclass(frozen=True)
class Rule:
    """Groups of terms: it holds where all terms of one group do."""

    text: str
    groups: tuple[tuple[Term, ...], ...]

    @classmethod
    def of(cls, text: str) -> "Rule":
        """Read a rule.

        Raises:
            ConfigError: A part of it is no term.
        """
        groups = [re.split(r"\band\b", part) for part in re.split(r"\bor\b", text)]
        return cls(text, tuple(tuple(_term(one, text) for one in group) for group in groups))

    def check(self, known: Mapping[str, str], shareless: Mapping[str, str]) -> None:
        """Refuse names that nothing is counted of: a rule that cannot fail is none.

        Args:
            known: Names that rows are counted of, each with why it is not looked at, or "".
            shareless: Names that have no share, each with what it is.

        Raises:
            ConfigError: A name is unknown or not looked at, or one without a share is asked for it.
        """
        shown = f"`fail_if={self.text}`"
        for term in (term for group in self.groups for term in group):
            if term.name not in known:
                hint = nearest(term.name, known)
                raise ConfigError(
                    f"{shown}: unknown name {term.name!r}; known: {', '.join(known)}.{hint}"
                )
            if known[term.name]:
                raise ConfigError(f"{shown}: {term.name} is not looked at: {known[term.name]}")
            if term.share and term.name in shareless:
                raise ConfigError(f"{shown}: {term.name} is {shareless[term.name]}")

    def met(self, values: Mapping[str, float], rows: int) -> str:
        """Return the terms of the first group that holds, "" where none does.

        Raises:
            ConfigError: No group is known to hold, and a name without a value leaves one open.
        """
        untold = ""
        for group in self.groups:
            known = [term for term in group if term.name in values]
            if not all(term.holds(values, rows) for term in known):
                continue
            if len(known) == len(group):
                return " and ".join(map(str, group))
            untold = untold or next(term.name for term in group if term.name not in values)
        if untold:
            raise ConfigError(
                f"`fail_if={self.text}`: {untold} has no percentile here: the notes say why; "
                "leave it out of the rule"
            )
        return ""


def _term(text: str, whole: str) -> Term:
    found = _TERM.fullmatch(text)
    if found is None:
        raise ConfigError(f"`fail_if={whole}`: {text.strip()!r} is no term: {EXPECTED}")
    name, sign, bound, percent = found.groups()
    return Term(name, sign, float(bound), bool(percent))
