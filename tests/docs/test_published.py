"""What is published of a result: what only its answers tell is added before they go."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from holdfast.claims.files import NotWorse
from holdfast.claims.judge import load_judged
from holdfast.claims.multiplicity import multiplicity
from holdfast.claims.trial import LOWER_IS_BETTER
from holdfast.comparisons.hardest import hardest
from holdfast.results.comparisons import BenchSummary
from holdfast.results.result import RunResult
from tests.synthetic_bench import arms
from tests.synthetic_result import synthetic_result, synthetic_scenarios

RESULTS = Path(__file__).resolve().parents[2] / "results"
SCRIPT = Path(__file__).resolve().parents[2] / "measurements" / "publish.py"


def published(result):
    spec = importlib.util.spec_from_file_location("publish", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.published(result)


def test_methods_are_compared_with_plain_and_with_their_own_controls_before_answers_go():
    given = synthetic_scenarios()
    result = published(given)
    rows = result.config["comparisons"]
    assert {(row["arm"], row["minus"]) for row in rows} == {
        (method, other)
        for method in ("ml_lr", "swat")
        for other in ("none", f"{method}(random)", f"{method}(complement)")
    }
    assert not any(run.answers for arm in result.arms for run in arm.runs)
    for row in (row for row in rows if row["minus"] == "none"):
        [arm] = [a for a in given.arms if (a.scenario, a.defense) == (row["scenario"], row["arm"])]
        known = arm.versus_plain["hs"]
        assert row["hs"] == [known.value, known.low, known.high]
    random = next(row for row in rows if row["minus"] == "ml_lr(random)")
    means = {a.defense: a.mean("fa") or 0.0 for a in given.arms if a.scenario == random["scenario"]}
    assert abs(random["fa"][0] - (means["ml_lr"] - means["ml_lr(random)"])) < 1e-9


def test_a_result_without_controls_stays_but_for_its_answers():
    given = synthetic_result()
    assert published(given) == given.without_answers()


def test_a_bench_that_was_run_before_there_was_one_gets_its_hardest_attack():
    made = arms(n=10)
    given = RunResult.of("bench", made, model="chat", bench=BenchSummary())
    found = published(given)
    assert given.bench.hardest is None
    assert found.bench.hardest == hardest(made)
    assert found.bench.hardest.third


def compared(result: RunResult) -> list[dict[str, Any]]:
    rows: Any = result.config["comparisons"]
    return rows


def test_seeds_that_were_run_because_others_did_not_tell_stand_alone():
    """Fault F5: five seeds that did not tell were published pooled with the ten run after them."""
    fresh = RunResult.load(RESULTS / "benign_obedience_fresh_10_seeds.json")
    tuned = [arm for arm in fresh.arms if arm.defenses]
    assert {tuple(arm.seeds) for arm in tuned} == {tuple(range(5, 15))}
    rows = {(row["arm"], row["minus"]): row["hs"] for row in compared(fresh)}
    for name, ends in (("ml_lr", (-0.52, -0.79, -0.25)), ("swat", (-0.47, -0.73, -0.21))):
        assert rows[name, f"{name}(random)"] == pytest.approx(ends, abs=0.005)
    assert not list(RESULTS.glob("*15_seeds*"))


def test_matched_controls_are_published_beside_the_random_subset():
    """Fault F4: the published control held MLPs and a third more parameters than Mods_Rob."""
    fresh = RunResult.load(RESULTS / "benign_obedience_fresh_10_seeds.json")
    rows = {row["minus"]: row["hs"][0] for row in compared(fresh)}
    weak = rows["ml_lr(random)"]
    matched = [rows[f"ml_lr({name})"] for name in ("random_matched", "roles", "attention")]
    assert all(weak < value < 0 for value in matched)
    page = (RESULTS.parent / "docs" / "claims.md").read_text()
    assert all(f"{words}. |" in page for words in ("as many parameters", "the same roles"))


@pytest.mark.parametrize(("pooled", "least", "most"), [(True, 0.075, 0.105), (False, 0.0, 0.06)])
def test_pooling_seeds_run_because_of_others_finds_what_is_not_there(pooled, least, most):
    """Fault F5: a difference of nothing was found in 9 % of cases."""
    rng = np.random.default_rng(0)
    first, more = rng.normal(size=(4000, 5)), rng.normal(size=(4000, 10))
    told = stats.ttest_1samp(first, 0, axis=1).pvalue < 0.05
    after = np.hstack([first, more]) if pooled else more
    found = stats.ttest_1samp(after, 0, axis=1).pvalue < 0.05
    share = np.mean(told | found) if pooled else np.mean(found)
    assert least < share < most


def test_the_number_of_claims_and_what_chance_makes_of_it_stand_on_their_page():
    """Fault F6: the page of claims did not say how many tests were made."""
    judged = load_judged(RESULTS / "claims")
    assert multiplicity(judged) in (RESULTS.parent / "docs" / "claims.md").read_text()
    margins = [
        test for paper in judged for claim in paper.claims for test in claim.tests + claim.provided
        if isinstance(test.test, NotWorse) and test.verdict == "holds"
    ]  # fmt: skip
    for test in margins:
        assert isinstance(test.test, NotWorse)
        assert test.high is not None
        assert test.low is not None
        worse = test.high if test.test.figure in LOWER_IS_BETTER else -test.low
        assert worse <= test.test.margin + 1e-9
