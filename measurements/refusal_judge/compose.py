"""Composes the rows of our own from the parts in ``rows.yaml``, each with its label."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import yaml

__all__ = ["COMPLIANCE", "PARTIAL", "REFUSAL", "Row", "hard_rows", "own_rows"]

PARTS = Path(__file__).with_name("rows.yaml")
HARD = Path(__file__).with_name("hard.yaml")
Kind: TypeAlias = Callable[[Any, random.Random], "Iterator[Row]"]
REFUSAL, PARTIAL, COMPLIANCE = "refusal", "partial", "compliance"


@dataclass(frozen=True)
class Row:
    """One answer with its label; ``source`` is the model that gave it, or ``own``."""

    question: str
    answer: str
    label: str
    source: str = "own"

    @property
    def refused(self) -> bool:
        """In full or in part: what the judge is measured on."""
        return self.label != COMPLIANCE


def own_rows(rounds: int = 3, seed: int = 0) -> list[Row]:
    """Return the composed rows: each part ``rounds`` times, with questions drawn by ``seed``."""
    parts = yaml.safe_load(PARTS.read_text(encoding="utf-8"))
    draw = random.Random(seed)  # noqa: S311  # Nothing secret is drawn.
    helped = (_helped, _hard, _fiction, _facts)
    declined = (_refusals, _greeted, _lectures, _premises, _events, _private, _partial)
    # Help is drawn twice as often: there are fewer parts of it.
    kinds: tuple[Kind, ...] = (*declined, *helped, *helped, _echoed, _elsewhere)
    return [row for _ in range(rounds) for kind in kinds for row in kind(parts, draw)]


def hard_rows() -> list[Row]:
    """Return the hard answers written by hand, which nothing is trained on."""
    by_label = yaml.safe_load(HARD.read_text(encoding="utf-8"))
    return [Row(*pair, label) for label, pairs in by_label.items() for pair in pairs]


def _filled(template: str, **words: str) -> str:
    """Return a template with its blanks filled, ``{Do}`` with a capital."""
    both = {
        **words,
        **{key.capitalize(): word[:1].upper() + word[1:] for key, word in words.items()},
    }
    return template.format(**both)


def _asked(parts: Any, draw: random.Random) -> tuple[str, Callable[[str], str]]:
    question, do, doing = draw.choice(parts["requests"])
    return question, partial(_filled, do=do, doing=doing)


def _some(options: list[str], draw: random.Random, *numbers: int) -> str:
    return " ".join(draw.sample(options, draw.choice(numbers)))


def _refusals(parts: Any, draw: random.Random) -> Iterator[Row]:
    for opening in parts["refusal_openings"]:
        question, fill = _asked(parts, draw)
        blank = draw.choice((" ", " ", "\n\n"))
        more = [_some(parts["reasons"], draw, 0, 0, 1, 2), _some(parts["redirects"], draw, 0, 0, 1)]
        yield Row(question, blank.join([fill(opening), *filter(None, more)]), REFUSAL)


def _greeted(parts: Any, draw: random.Random) -> Iterator[Row]:
    for opening in parts["greeted_refusals"]:
        question, fill = _asked(parts, draw)
        more = _some(parts["reasons"], draw, 0, 1)
        yield Row(
            question, f"{draw.choice(parts['greetings'])} {fill(opening)} {more}".strip(), REFUSAL
        )


def _lectures(parts: Any, draw: random.Random) -> Iterator[Row]:
    for opening in parts["lectures"]:
        question, fill = _asked(parts, draw)
        more = _some(parts["lecture_follow"], draw, 0, 1, 2)
        yield Row(question, f"{fill(opening)} {more}".strip(), REFUSAL)


def _events(parts: Any, draw: random.Random) -> Iterator[Row]:
    for label, key in ((REFUSAL, "event_refusals"), (COMPLIANCE, "event_help")):
        for template in parts[key]:
            question, event = draw.choice(parts["events"])
            yield Row(question, _filled(template, event=event), label)


def _premises(parts: Any, draw: random.Random) -> Iterator[Row]:
    for opening in parts["premise_refusals"]:
        question, who, may, _ = draw.choice(parts["opinions"])
        said = _filled(opening, who=who, may=may)
        yield Row(
            question, f"{said} {_some(parts['premise_follow'], draw, 0, 1, 2)}".strip(), REFUSAL
        )


def _private(parts: Any, draw: random.Random) -> Iterator[Row]:
    for opening in parts["private_refusals"]:
        question, whom, what = draw.choice(parts["private"])
        said = _filled(opening, whom=whom, what=what)
        yield Row(
            question, f"{said} {_some(parts['private_follow'], draw, 0, 1, 2)}".strip(), REFUSAL
        )


def _partial(parts: Any, draw: random.Random) -> Iterator[Row]:
    for opening in parts["partial_openings"]:
        question, fill = _asked(parts, draw)
        yield Row(question, f"{fill(opening)}\n\n{draw.choice(parts['helps'])}", PARTIAL)


def _helped(parts: Any, draw: random.Random) -> Iterator[Row]:
    for opening in parts["help_openings"]:
        question, fill = _asked(parts, draw)
        hello = draw.sample(parts["greetings"], draw.choice((0, 0, 0, 1)))
        said = [*hello, fill(opening), draw.choice(parts["helps"])]
        yield Row(question, "\n\n".join([*said, *_ended(parts, draw)]), COMPLIANCE)
    for said in parts["helps"]:
        yield Row(_asked(parts, draw)[0], said, COMPLIANCE)


def _hard(parts: Any, draw: random.Random) -> Iterator[Row]:
    for opening in parts["hard_help_openings"]:
        question, fill = _asked(parts, draw)
        said = [fill(opening), draw.choice(parts["helps"])]
        yield Row(question, " ".join([*said, *_ended(parts, draw)]), COMPLIANCE)
    for said in parts["clarifying"]:
        yield Row(_asked(parts, draw)[0], said, COMPLIANCE)


def _ended(parts: Any, draw: random.Random) -> list[str]:
    return draw.sample(parts["warned_endings"], draw.choice((0, 0, 1)))


def _fiction(parts: Any, draw: random.Random) -> Iterator[Row]:
    for template in parts["fictional_help"]:
        question, whom, what = draw.choice(parts["fictional"])
        yield Row(question, _filled(template, whom=whom, what=what), COMPLIANCE)
    for template in parts["nonsense_help"]:
        question, who, may = draw.choice(parts["nonsense"])
        yield Row(question, _filled(template, who=who, may=may), COMPLIANCE)


def _facts(parts: Any, draw: random.Random) -> Iterator[Row]:
    del draw
    for question, answer in parts["facts"]:
        yield Row(question, answer, COMPLIANCE)


def _echoed(parts: Any, draw: random.Random) -> Iterator[Row]:
    """An answer that only says the question again, or parrots it, declines nothing."""
    for question, _, doing in draw.sample(parts["requests"], 8):
        yield Row(question, question, COMPLIANCE)
        yield Row(question, f"You asked about {doing}. {question}", COMPLIANCE)


def _elsewhere(parts: Any, draw: random.Random) -> Iterator[Row]:
    for label, key in ((REFUSAL, "languages_refused"), (COMPLIANCE, "languages_helped")):
        for said in parts[key]:
            yield Row(_asked(parts, draw)[0], said, label)
