"""Successive halving on the search prompts: who is worth a whole run, and in which order to test.

Every rung trains its candidates anew for a part of the steps, asks them the search prompts and
keeps the best. ``none`` and ``before`` stay to the end: changes are measured from them. What has
run is kept by the bench's cells, so that a search that was killed goes on as if it had not been.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from holdfast.bench.cell.cell import Cell
from holdfast.bench.choosing.candidates import Candidate, Field, plain_runs
from holdfast.bench.choosing.counting import badness
from holdfast.bench.choosing.held import Runs, margin
from holdfast.bench.choosing.prompts.division import PROBE, SEARCH, Division
from holdfast.bench.choosing.record import Entry, Rung
from holdfast.bench.choosing.searching.halving import fronts, kept_of, ranking, rung_steps
from holdfast.bench.choosing.searching.leaning import read_leaning
from holdfast.bench.pool.runner import Outcome
from holdfast.errors import ConfigError, RunError
from holdfast.evaluation.limits import Requirement, upper_bound
from holdfast.results.records import BEFORE, PLAIN, SeedRun

__all__ = ["Measure", "Rules", "Searched", "refuse_budget", "search"]

Measure = Callable[[str, Sequence[Cell]], Outcome]
"""Runs cells, or takes what they came to before: (what it is called, cells)."""


@dataclass(frozen=True)
class Rules:
    """What is asked of a choice."""

    requirements: tuple[Requirement, ...]
    confidence: float = 0.95
    budget: float = 20.0
    """Most plain runs that the search may take."""
    seed: int = 0
    """Of the division of the prompts."""
    attacks: tuple[str, ...] = ()
    """Attacks that the limit on harm has to hold under, beside the direct question."""


@dataclass(frozen=True)
class Searched:
    """What the search came to."""

    rungs: list[Rung]
    runs: Runs
    """Of the last rung, by name."""
    order: list[Candidate]
    """In which candidates are tested: the largest smallest margin first, then the cheapest."""

    @property
    def spent(self) -> float:
        """Plain runs that it took."""
        return self.rungs[-1].spent

    @property
    def lost(self) -> list[str]:
        """Who went out because a run failed and not because others were better, and why."""
        return [
            f"{name} is out: its run of {rung.steps} steps failed ({why}); the same command tries "
            "it again"
            for rung in self.rungs
            for name, why in rung.failed.items()
        ]


def refuse_budget(field: Field, rules: Rules) -> None:
    """Raise ``ConfigError`` where the first rung, and one candidate to the end, cost too much."""
    first, *later = rung_steps(field.steps)
    every = [one.after(first) for one in field.candidates]
    through = [plain_runs([*every, *_cells([*_references(field), one], later)], field.plain.cell)
               for one in field.candidates]  # fmt: skip
    if not max(through) <= rules.budget:  # Also where it is no number.
        raise ConfigError(
            f"`budget={rules.budget:g}` is too small: a first look at {len(every)} candidates and "
            f"the whole run of any one take up to {max(through):.1f} plain runs: give that many, "
            "or name fewer defenses"
        )


def search(
    field: Field,
    division: Division,
    rules: Rules,
    measure: Measure,
    probe: Measure | None = None,
) -> Searched:
    """Run all rungs.

    Args:
        field: Who enters.
        division: The prompts.
        rules: Limits, and what may be spent.
        measure: Lets cells answer the search prompts.
        probe: Probes them without answers, on the rungs before the last; without it they answer.

    Raises:
        RunError: ``none`` or ``before`` failed, or nothing was left.
    """
    steps, entered = rung_steps(field.steps), list(field.candidates)
    made, rungs, runs = list[Cell](), list[Rung](), dict[str, SeedRun]()
    for number, at in enumerate(steps):
        early = probe if at != steps[-1] else None
        part = PROBE if early else SEARCH
        cells = {one.name: division.of(one.after(at), part) for one in entered}
        made += cells.values()
        runs, failed = _run(cells, early or measure, f"rung {number + 1} of {len(steps)}")
        look = (_Lean if early else _Look)(field, rules, runs)
        ranked = look.ranked([one for one in entered if one.name in runs])
        kept = _kept(field, ranked, made, steps[number + 1 :], rules.budget)
        names = {one.name for one in kept}
        rungs.append(
            Rung(
                steps=at,
                entries=[look.entry(one, front, names) for one, front in ranked],
                failed=failed,
                spent=plain_runs(made, field.plain.cell),
            )
        )
        entered = kept
    return Searched(rungs, runs, _order(entered, runs, rules))


def _order(entered: Sequence[Candidate], runs: Runs, rules: Rules) -> list[Candidate]:
    """Return who is tested, in order: whoever held all limits here; the best where none did."""
    margins = {one.name: margin(rules.requirements, one.name, runs) for one in entered}
    order = sorted(entered, key=lambda one: (-margins[one.name], one.cost))
    return [one for one in order if margins[one.name] > 0] or order[:1]


@dataclass(frozen=True)
class _Look:
    """What a rung's answers say of its candidates."""

    field: Field
    rules: Rules
    runs: Runs

    def harm(self, name: str) -> float:
        """Return the upper bound of harm; 1 where nothing harmful was asked."""
        bad = badness(self.runs[name], "hs")
        return upper_bound(round(sum(bad.values())), len(bad), self.rules.confidence)

    def task_loss(self, name: str) -> float:
        """Return the task accuracy lost against plain fine-tuning of as many steps."""
        ours, plain = (badness(self.runs[one], "fa") for one in (name, PLAIN))
        return (sum(ours.values()) - sum(plain.values())) / max(1, len(plain))

    def margin(self, name: str) -> float:
        """Return the smallest distance to a limit."""
        return margin(self.rules.requirements, name, self.runs)

    def ranked(self, entered: Sequence[Candidate]) -> list[tuple[Candidate, int]]:
        """Return the candidates, the best first, each with its front."""
        points = [(self.harm(c.name), self.task_loss(c.name), c.cost) for c in entered]
        margins, found = [self.margin(c.name) for c in entered], fronts(points)
        best = ranking(points, margins, [c.cost for c in entered])
        return [(entered[place], found[place]) for place in best]

    def entry(self, one: Candidate, front: int, kept: Collection[str]) -> Entry:
        """Return a candidate's line of the record."""
        return Entry(
            name=one.name, task_loss=self.task_loss(one.name), cost=one.cost, front=front,
            kept=one.name in kept, **self.told(one.name),
        )  # fmt: skip

    def told(self, name: str) -> dict[str, float]:
        """Return what the record says of a candidate beside its task and cost."""
        return {"hs_upper": self.harm(name), "margin": self.margin(name)}


class _Lean(_Look):
    """The same of models that were probed and did not answer: harm is leaning away from refusing.

    Within a front the largest lead comes first: no limit is in nats.
    """

    def harm(self, name: str) -> float:
        """Return the lower end of the mean lead with its sign turned."""
        return -read_leaning(self.runs[name])[0]

    def task_loss(self, name: str) -> float:
        """Return by how much the right answers are less likely than to plain fine-tuning."""
        return read_leaning(self.runs[name])[1] - read_leaning(self.runs[PLAIN])[1]

    def margin(self, name: str) -> float:
        """Return the lower end of the mean lead."""
        return -self.harm(name)

    def told(self, name: str) -> dict[str, float]:
        """Return the lead."""
        return {"lead": self.margin(name)}


def _run(
    cells: Mapping[str, Cell], measure: Measure, stage: str
) -> tuple[dict[str, SeedRun], dict[str, str]]:
    """Return the runs by name, and why others failed."""
    outcome = measure(stage, list(cells.values()))
    runs = {name: outcome.runs[c.key] for name, c in cells.items() if c.key in outcome.runs}
    failed = {
        n: outcome.failed.get(c.key, "it did not run") for n, c in cells.items() if n not in runs
    }
    for name in (name for name in (PLAIN, BEFORE) if name in failed):
        raise RunError(f"{name}, which others are measured against, failed: {failed[name]}")
    return runs, failed


def _kept(
    field: Field,
    ranked: Sequence[tuple[Candidate, int]],
    made: Sequence[Cell],
    later: Sequence[int],
    budget: float,
) -> list[Candidate]:
    """Return who goes on: the references, and the best that the budget has room for to the end."""
    rivals = [one for one, _ in ranked if not one.reference]
    kept = [one for one, _ in ranked if one.reference]
    if not later:
        return [one for one, _ in ranked]
    most = len(kept) + kept_of(len(rivals))
    for one in rivals:
        # The next rung has room for all of them, and every rung to come for the first.
        first = [*kept, one][: len(_references(field)) + 1]
        room = [*made, *_cells(first, later), *_cells([*kept, one], later[:1])]
        if len(kept) < most and plain_runs(room, field.plain.cell) <= budget:
            kept.append(one)
    return kept


def _references(field: Field) -> list[Candidate]:
    return [one for one in field.candidates if one.reference]


def _cells(candidates: Sequence[Candidate], steps: Sequence[int]) -> list[Cell]:
    return [one.after(at) for one in candidates for at in steps]
