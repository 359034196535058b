"""The recipe's questions in two parts: some that choose, and some that nothing was chosen on.

Near-duplicates stay together. Of those that certify one of each cluster is asked, so that answers
are independent; and a cluster that a row of the training data belongs to certifies nothing.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from holdfast.bench.cell.cell import Cell
from holdfast.bench.choosing.prompts.clusters import clusters, near
from holdfast.bench.subject.organism import Subject
from holdfast.defense import listed
from holdfast.evaluation import Item
from holdfast.evaluation.metrics import KINDS

__all__ = ["CERTIFY", "PROBE", "SEARCH", "SHARE", "Division", "divided"]

PROBE, SEARCH, CERTIFY = "probe", "search", "certify"
SHARE = 0.25
"""Share of each kind's clusters that choose: most of the evidence goes to the claim; ours."""


@dataclass(frozen=True)
class Division:
    """A subject whose questions are divided: a cell's split is ``search`` or ``certify``.

    All else is the subject's own, so that cells of both parts share every trained model.
    """

    inner: Subject
    split: str
    """The split of the inner subject that the questions are taken from."""
    parts: Mapping[str, frozenset[str]]
    """Ids of the questions, by the name of the part."""
    attacks: tuple[str, ...] = ()
    """How harmful questions are asked beside directly."""
    left_out: int = 0
    """Questions that certify nothing: near-duplicates of others, or of training rows."""

    def __getattr__(self, name: str) -> Any:
        """Return what the subject has."""
        if name.startswith("__") or name == "inner":  # Not yet there while it is unpickled.
            raise AttributeError(name)
        return getattr(self.inner, name)

    def questions(self, split: str, per_kind: int, scenario: str) -> list[Item]:
        """Return the questions of one part, in the order of the subject's."""
        every = self.inner.questions(self.split, per_kind, scenario)
        return [item for item in every if item.id in self.parts[split]]

    def named(self, part: str) -> str:
        """Return the split of a cell that asks ``search`` or ``certify``: part and digest."""
        return next(name for name in self.parts if name.startswith(f"{part}-"))

    def of(self, cell: Cell, part: str) -> Cell:
        """Return the cell with this subject, asked the questions of a part."""
        return replace(cell, subject=cast("Subject", self), split=self.named(part))

    def counts(self, part: str, cell: Cell) -> dict[str, int]:
        """Return how many questions of each kind a part has."""
        kinds = [item.kind for item in self.of(cell, part).questions]
        return {kind: kinds.count(kind) for kind in KINDS if kind in kinds}


def divided(cell: Cell, seed: int, share: float = SHARE, attacks: tuple[str, ...] = ()) -> Division:
    """Divide the questions of a cell of the recipe, by kind.

    Args:
        cell: Whose questions and training rows they are.
        seed: Of the division; clusters are drawn, never single questions.
        share: Of the clusters of each kind that choose.
        attacks: How harmful questions are asked beside directly; part of what a cell is.
    """
    every, known = cell.questions, _trained_on(cell)
    search, certify = list[str](), list[str]()
    for kind in KINDS:
        of_kind = [item for item in every if item.kind == kind]
        first, second = _parted(of_kind, known, seed, share)
        search += first
        certify += second
    # Early rungs probe the prompts that the last one asks.
    own = {PROBE: search, SEARCH: search, CERTIFY: certify}
    frozen = {_signed(part, ids, [seed, *attacks]): frozenset(ids) for part, ids in own.items()}
    left_out = len(every) - len(search) - len(certify)
    return Division(cell.subject, cell.split, frozen, attacks, left_out)


def _parted(
    items: Sequence[Item], known: Sequence[str], seed: int, share: float
) -> tuple[list[str], list[str]]:
    """Return the ids of both parts of one kind's questions."""
    asked = [item.question for item in items]
    taught, members = near(asked, known), dict[int, list[int]]()
    for place, label in enumerate(clusters(asked)):
        members.setdefault(label, []).append(place)
    clean = [[items[n].id for n in own] for own in members.values() if not taught & {*own}]
    clean.sort(key=lambda own: hashlib.sha256(f"{seed}/{own[0]}".encode()).hexdigest())
    cut = math.ceil(share * len(clean))
    return [name for own in clean[:cut] for name in own], [own[0] for own in clean[cut:]]


def _trained_on(cell: Cell) -> list[str]:
    """Return the last message of every prompt that a run of the recipe may learn."""
    sets = list(cell.defender.values())
    if cell.attack is not None:
        sets.append(cell.user_rows)
    rows = (row for data in sets for row in listed(data))
    return list(dict.fromkeys(str(row["prompt"][-1]["content"]) for row in rows))


def _signed(part: str, ids: Sequence[str], made_of: Sequence[Any]) -> str:
    digest = hashlib.sha256(json.dumps([made_of, sorted(ids)]).encode()).hexdigest()
    return f"{part}-{digest[:12]}"
