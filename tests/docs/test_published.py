"""What is published of a result: what only its answers tell is added before they go."""

import importlib.util
from pathlib import Path

from tests.synthetic_result import synthetic_result, synthetic_scenarios

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
