"""The papers' claims beside what a bench measured: tests declared as data, verdicts from intervals.

A published result holds no answers, and intervals are made of answers: so claims are judged when
the bench has run, and what was found is kept in ``results/claims/<paper>.json``.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from pydantic import Field, JsonValue

from holdfast.claims.arms import Bindings, UnreadableError, best_of, bindings, profiles
from holdfast.claims.files import Apart, Claim, Paper, Reported, Test, Uneven, load_claims, named_in
from holdfast.claims.trial import judged
from holdfast.claims.verdicts import Finding, Verdict, combined
from holdfast.claims.words import claim_reason, test_reason
from holdfast.errors import InputError
from holdfast.evaluation.interval import Estimate
from holdfast.evaluation.metrics import Figure
from holdfast.files.guarded.documents import json_in
from holdfast.files.outputs.places import check_folder
from holdfast.files.whole import refuse_newer, write_whole
from holdfast.results.records import Arm, Attack, Record, SeedRun
from holdfast.results.result import RunResult

__all__ = [
    "ClaimRow", "JudgedClaim", "JudgedPaper", "JudgedTest", "MeasuredArm", "claims_rows", "judge",
    "load_judged", "write_claims",
]  # fmt: skip

SCHEMA_VERSION = 1
SHOWN: tuple[Figure, ...] = ("hs", "hs_content", "over_refusal", "fa", "usefulness")


class MeasuredArm(Record):
    """One arm that a claim was tested on; shares in [0, 1]."""

    name: str = Field(description="As the claim's tests call it.")
    label: str
    defense: str
    attack: Attack
    settings: dict[str, JsonValue]
    seeds: list[int]
    figures: dict[Figure, Estimate] = Field(description="Means over seeds with 95 % intervals.")
    by_seed: dict[Figure, list[float]] = Field(description="The share of each seed, in order.")
    layers: list[list[float]] | None = Field(
        default=None, description="A curve over layers [seeds][layers], where a test reads one."
    )


class JudgedTest(Record):
    """One test with its statistic, 95 % interval, verdict and why."""

    test: Test
    value: float | None
    low: float | None
    high: float | None
    seeds: int
    verdict: Verdict
    reason: str


class JudgedClaim(Record):
    """A claim: what is reported, what was measured, and the verdict."""

    id: str
    statement: str
    source: str
    reported: list[Reported]
    arms: list[MeasuredArm]
    tests: list[JudgedTest]
    provided: list[JudgedTest]
    verdict: Verdict
    reason: str = Field(description="One sentence, made from the numbers.")
    measured_on: dict[str, JsonValue] | None = Field(
        default=None, description="What it was measured on, where that is not the paper's."
    )


class JudgedPaper(Record):
    """All claims of one paper, and what they were measured on."""

    schema_version: int = SCHEMA_VERSION
    paper: str
    title: str
    reference: str
    setting: str
    measured_on: dict[str, JsonValue]
    claims: list[JudgedClaim]


class ClaimRow(TypedDict):
    """One claim as a table shows it."""

    paper: str
    claim: str
    statement: str
    source: str
    reported: str
    verdict: Verdict
    reason: str


def judge(
    result: RunResult | Sequence[RunResult],
    papers: Sequence[Paper] | None = None,
    second: RunResult | None = None,
) -> list[JudgedPaper]:
    """Return the verdict on every claim of every paper.

    Args:
        result: Of a bench, with its answers; claims whose arms it lacks are not comparable. Of
            several, a claim is judged on the one with most of its arms, then with most seeds.
        papers: By default those that come with holdfast.
        second: The same of another architecture, for what is claimed to differ by architecture.

    Raises:
        ConfigError: A file of claims is damaged.
        InputError: Some results are of the organism and some of a real model.
    """
    results = [result] if isinstance(result, RunResult) else list(result)
    found: list[JudgedPaper] = []
    for paper in _as_judged_on(results, load_claims() if papers is None else papers):
        claims = [_claim(claim, paper, results, second) for claim in paper.claims]
        told = paper.model_dump(include={"paper", "title", "reference", "setting"})
        found.append(JudgedPaper(**told, measured_on=_about(results[0]), claims=claims))
    return found


def _as_judged_on(results: Sequence[RunResult], papers: Sequence[Paper]) -> list[Paper]:
    """Return the papers as they are judged on models of this kind."""
    kinds = {one.real_model for one in results}
    if len(kinds) > 1:
        named = ", ".join(dict.fromkeys(one.model for one in results))
        raise InputError(
            f"results of {named} are judged by other arms and cannot be judged together: give "
            "those of the organism in one call, those of a real model in another"
        )
    return [paper.on_real for paper in papers] if kinds == {True} else list(papers)


def _about(result: RunResult) -> dict[str, JsonValue]:
    return {
        "model": result.model, "command": result.command, "created": result.created,
        "seeds": list(result.seeds), "holdfast": result.versions.get("holdfast"),
    }  # fmt: skip


def write_claims(judged_papers: Sequence[JudgedPaper], out: Path) -> list[Path]:
    """Write ``<paper>.json`` for each paper into ``out`` and return the paths.

    Raises:
        ConfigError: ``out`` is something else than a folder.
        RunError: A file cannot be written.
    """
    check_folder(out, "out", replaced=False)
    paths = [out / f"{paper.paper}.json" for paper in judged_papers]
    for path, paper in zip(paths, judged_papers, strict=True):
        write_whole(path, paper.model_dump_json(indent=1) + "\n")
    return paths


def load_judged(folder: Path) -> list[JudgedPaper]:
    """Return what ``write_claims`` has written to ``folder``, by paper; [] where nothing is there.

    Raises:
        InputError: A file is damaged or of a newer version.
    """
    found: list[JudgedPaper] = []
    for path in sorted(folder.glob("*.json")):
        try:
            told = json_in(path)
            if isinstance(told, dict):  # What is newer may have other fields: that comes first.
                refuse_newer(path, told.get("schema_version", 0), SCHEMA_VERSION)
            found.append(JudgedPaper.model_validate(told))
        except InputError:
            raise
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path} holds no judged claims ({type(error).__name__}); run holdfast claims again"
            ) from error
    return found


def claims_rows(judged_papers: Sequence[JudgedPaper]) -> list[ClaimRow]:
    """Return one row per claim, in order, for a table or a page."""
    return [
        ClaimRow(
            paper=paper.paper, claim=claim.id, statement=claim.statement, source=claim.source,
            reported="; ".join(map(_figures, claim.reported)) or "no figures in our notes",
            verdict=claim.verdict, reason=claim.reason,
        )
        for paper in judged_papers
        for claim in paper.claims
    ]  # fmt: skip


def _claim(
    claim: Claim, paper: Paper, results: Sequence[RunResult], second: RunResult | None
) -> JudgedClaim:
    names = list(dict.fromkeys(named_in(claim)))
    result = best_of(results, paper.arms, names)
    arms: dict[str, MeasuredArm] = {}
    tests: list[tuple[JudgedTest, Finding]] = []
    provided: list[tuple[JudgedTest, Finding]] = []
    each: list[Finding] = []
    ways = bindings(result, paper.arms, names)
    for bound in ways:
        labels = _labels(paper, bound, several=len(ways) > 1)
        main = [judged(t, bound, claim.needs, (second, paper.arms)) for t in claim.tests]
        also = [judged(t, bound, claim.needs) for t in claim.provided]
        each.append(Finding(combined(main, also), ""))
        tests += [(_told(t, f, labels), f) for t, f in zip(claim.tests, main, strict=True)]
        provided += [(_told(t, f, labels), f) for t, f in zip(claim.provided, also, strict=True)]
        for name, arm in bound.items():
            if isinstance(arm, Arm):
                arms[labels[name]] = _measured(name, labels[name], arm, claim)
    reasons = ([(test.reason, found) for test, found in side] for side in (tests, provided))
    return JudgedClaim(
        id=claim.id, statement=claim.statement, source=claim.source, reported=claim.reported,
        arms=list(arms.values()), tests=[test for test, _ in tests],
        provided=[test for test, _ in provided], verdict=combined(each),
        reason=claim_reason(*reasons),
        measured_on=None if result is results[0] else _about(result),
    )  # fmt: skip


def _labels(paper: Paper, bound: Bindings, *, several: bool) -> dict[str, str]:
    """Return what a reader calls each arm; where several fit a selector, with its own name."""
    told = {name: paper.arms[name].label for name in bound}
    for name, arm in bound.items():
        if several and paper.arms[name].several and isinstance(arm, Arm):
            told[name] = f"{told[name]} ({arm.defense})"
    return told


def _told(test: Test, found: Finding, labels: dict[str, str]) -> JudgedTest:
    ends = {name: getattr(found.statistic, name, None) for name in ("value", "low", "high")}
    reason = test_reason(test, found, labels)
    return JudgedTest(test=test, seeds=found.seeds, verdict=found.verdict, reason=reason, **ends)


def _measured(name: str, label: str, arm: Arm, claim: Claim) -> MeasuredArm:
    by_seed = {figure: [_share(run, figure) for run in arm.runs] for figure in SHOWN}
    curves = [test.curve for test in claim.tests if isinstance(test, Uneven | Apart)]
    return MeasuredArm.model_validate({
        "name": name, "label": label, "defense": arm.defense, "attack": arm.attack,
        "settings": arm.settings, "seeds": arm.seeds,
        "figures": {f: arm.figures[f] for f in SHOWN if f in arm.figures},
        "by_seed": {f: shares for f, shares in by_seed.items() if None not in shares},
        "layers": _layers(arm, curves[0]) if curves else None,
    })  # fmt: skip


def _share(run: SeedRun, figure: Figure) -> float | None:
    """Return a run's share, which a published result keeps when its answers are gone."""
    if figure in run.shares:
        return run.shares[figure].value
    hits = run.hits(figure)
    return sum(hits.values()) / len(hits) if hits else None


def _layers(arm: Arm, curve: str) -> list[list[float]] | None:
    try:
        return profiles(arm, curve)
    except UnreadableError:
        return None


def _figures(reported: Reported) -> str:
    """Return reported figures as text: ``Table 9: rho 0, hs 45.8; ... (%, 1 seed)``."""
    if not reported.figures:
        return reported.where
    rows = "; ".join(", ".join(f"{k} {v}" for k, v in row.items()) for row in reported.figures)
    seeds = "1 seed" if reported.seeds == 1 else f"{reported.seeds} seeds"
    return f"{reported.where}: {rows} ({reported.unit}, {seeds})"
