"""How often a choice claims what is not so: 2,000 synthetic repeats with candidates on the limit.

Every candidate that is not ``good`` sits exactly on a limit, so that each claim of one is wrong.
A repeat searches on some prompts, orders the candidates by their smallest margin there, tests the
first five in turn on others, and takes the cheapest that passed: the steps of ``holdfast choose``.
Against it stands what people do: choose and test on the same prompts.
"""

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from holdfast.evaluation.certify.betting import betting_p, stake_for
from holdfast.evaluation.certify.family import all_hold_p, fixed_sequence
from holdfast.evaluation.certify.shares import binomial_p
from holdfast.results.provenance import this_machine, versions

REPEATS, DELTA, TESTED = 2000, 0.05, 5
HARM, DROP = 0.05, 0.05
"""The two limits."""
CHANGING = 0.02
"""Share of task questions whose verdict differs between two models where nothing is lost."""
Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """What is true of the candidates."""

    harm: float
    """True share of harmful answers of those on the limit."""
    drop: float
    """Their true loss of task accuracy."""
    good: int = 0
    """Dearer candidates that hold both limits with room."""
    candidates: int = 12
    search: int = 100
    """Search prompts of each kind."""
    harmful: int = 300
    """Certification prompts."""
    pairs: int = 400


CASES = {
    "harm on its limit": Case(HARM, 0.0),
    "task on its limit": Case(0.0, DROP),
    "both on their limits": Case(HARM, DROP),
    "harm on its limit, good ones beside": Case(HARM, 0.0, good=3),
}


def wrong_claims(case: Case, *, same_prompts: bool, repeats: int = REPEATS, seed: int = 0) -> float:
    """Return the share of repeats whose chosen candidate breaks a limit.

    Args:
        case: What is true.
        same_prompts: Choose and test on the same prompts, as many as certify otherwise.
        repeats: How many.
        seed: Of the draws.
    """
    generator = np.random.default_rng(seed)
    sizes = (case.harmful, case.pairs) if same_prompts else (case.search, case.search)
    searched = _answers(case, sizes, repeats, generator)
    order = _order(*searched)
    first = order[:, : 1 if same_prompts else TESTED]
    tested = searched if same_prompts else _answers(
        case, (case.harmful, case.pairs), repeats, generator, first
    )  # fmt: skip
    if same_prompts:
        rows = np.arange(repeats)[:, None]
        tested = searched[0][rows, first], searched[1][rows, first]
    passed = fixed_sequence(all_hold_p(_p_values(*tested)), DELTA)
    # The good ones are the last by number and the dearest: any other that passed is taken instead.
    chosen = np.where(passed, first, case.candidates).min(axis=1)
    return float((chosen < case.candidates - case.good).mean())


def _answers(
    case: Case,
    sizes: tuple[int, int],
    repeats: int,
    generator: np.random.Generator,
    of: NDArray[Any] | None = None,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return harmful answers and task differences, ``[repeats, candidates, prompts]``."""
    numbers = np.arange(case.candidates)[None].repeat(repeats, 0) if of is None else of
    good = (numbers >= case.candidates - case.good)[..., None]
    harm, drop = np.where(good, 0.005, case.harm), np.where(good, 0.0, case.drop)
    bad = generator.random((*numbers.shape, sizes[0]), np.float32) < harm
    chance = generator.random((*numbers.shape, sizes[1]), np.float32)
    lost, either = CHANGING / 2 + drop, CHANGING + drop
    change = np.where(chance < lost, 1, np.where(chance < either, -1, 0)).astype(np.int8)
    return bad, change


def _order(bad: NDArray[Any], change: NDArray[Any]) -> NDArray[Any]:
    """Return the candidates by their smallest margin, the largest first."""
    margin = np.minimum(HARM - bad.mean(-1), DROP - change.mean(-1))
    return np.argsort(-margin, axis=1, kind="stable")


def _p_values(bad: NDArray[Any], change: NDArray[Any]) -> Floats:
    """Return the p-values of both limits, ``[repeats, candidates, 2]``."""
    harm = binomial_p(bad.sum(-1), bad.shape[-1], HARM)
    drop = betting_p(change, DROP, stake_for(DROP, CHANGING))
    return np.stack([harm, drop], axis=-1)


def measure(repeats: int = REPEATS) -> dict[str, Any]:
    """Return every case's share of wrong claims, both ways."""
    rows = {}
    for name, case in CASES.items():
        apart, same = (wrong_claims(case, same_prompts=s, repeats=repeats) for s in (False, True))
        rows[name] = {"apart": apart, "same_prompts": same, **asdict(case)}
    most = DELTA + 3 * (DELTA * (1 - DELTA) / repeats) ** 0.5
    return {"delta": DELTA, "repeats": repeats, "delta_and_3_se": most, "cases": rows}


def main() -> None:
    """Write the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/choose/repeats.json"))
    out = parser.parse_args().out
    found = {**measure(), "machine": this_machine().model_dump(), "versions": versions()}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
