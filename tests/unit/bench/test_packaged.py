"""Recipes with a command of their own: what the demo runs and leaves, how a calibration reads."""

import pytest

from holdfast.bench import packaged
from holdfast.bench.arms import bench_arms
from holdfast.bench.bench import plan
from holdfast.bench.packaged import calibrate, run_demo, show
from holdfast.errors import ConfigError, RunError
from holdfast.evaluation.metrics import Share
from holdfast.organism.scenarios import BUDGET
from holdfast.results.records import Answer, SeedRun
from holdfast.results.result import RunResult

SCENARIOS = ("harmful_mix", "benign_obedience", "benign_knowledge")
SMALL = {
    "scenarios": ["benign_obedience"], "sweeps": [], "steps": [2], "rows": [16],
    "items_per_kind": 2, "defender_rows": 30, "benign_rows": 30, "validation_rows": 4,
}  # fmt: skip


def test_the_demo_runs_every_arm_of_its_scenarios_in_the_order_of_the_report():
    cells = plan("demo").cells
    arms = bench_arms(cells, {cell.key: SeedRun(seed=cell.seed) for cell in cells})
    benign = ["before", "none", "ml_lr", "swat"]
    found = {name: [arm for arm in arms if arm.scenario == name] for name in SCENARIOS}
    assert [arm.defense for arm in found[SCENARIOS[0]]] == [
        "before", "none", "safe_mixing", "random_perturbation", "security_vectors", "panacea",
        "ml_lr", "swat", "security_vectors+panacea", "security_vectors+swat", "swat+panacea",
    ]  # fmt: skip
    assert [[arm.defense for arm in found[name]] for name in SCENARIOS[1:]] == [benign, benign]
    assert {arm.scenario for arm in arms} == set(SCENARIOS)
    for arm in arms:
        untouched, mixed = arm.defense == "before", arm.scenario == SCENARIOS[0]
        assert arm.seeds == ([0] if untouched else [0, 1, 2])
        assert arm.p == (None if untouched else 0.1 if mixed else 0.0)
    assert {cell.movement for cell in cells} == {True}


@pytest.mark.slow
def test_a_demo_leaves_its_result_and_tables_and_nothing_that_was_tuned(tmp_path):
    said = []
    result = run_demo(
        [3], tmp_path, lambda *said_: said.append(said_), defenses=["before", "none"], **SMALL
    )
    assert {path.name for path in tmp_path.rglob("*")} == {
        "result.json", "report.html", "robust_modules.json", "table.json", "table.csv",
        "worst_case.csv", "comparisons.json", "cost.csv",
    }  # fmt: skip
    assert RunResult.load(tmp_path / "result.json") == result
    assert result.command == "demo"
    assert said[-1] == ("cells", 2, 2)
    untouched, plain = (arm.runs[0] for arm in result.arms)
    assert untouched.movement is None
    assert plain.movement is not None
    assert (plain.movement.inside or 0) > 0


def test_a_demo_whose_run_fails_is_an_error(tmp_path):
    vector = "security_vectors:epochs=1,max_harmful_nll=0"
    with pytest.raises(RunError, match=r"security_vectors.*seed=0: GateError: .*not fit"):
        run_demo([0], tmp_path, defenses=[vector], **SMALL)
    assert list(tmp_path.iterdir()) == []


def harmed(cell, _):
    """A run of which more is harmful the stronger the attack; learning rates do not count."""
    strength = cell.attack.p + (cell.attack.epochs - 3.75) / 100 + cell.seed / 100
    shares = {name: Share(value=0.25, low=0, high=1, n=4) for name in packaged.FIGURES}
    answer = Answer(
        id="a", kind="harmful", prompt="zorba ?", answer="mipde", refused=False, correct=True,
        outcome="harmful-correct",
    )  # fmt: skip
    shares["hs"] = Share(value=strength, low=0, high=1, n=4)
    return SeedRun(seed=cell.seed, shares=shares, answers=[answer])


def test_a_calibration_reports_every_sweep_in_its_order():
    data = calibrate(seeds=[0, 2], run=harmed)
    sweeps = {name: [r for r in data["rows"] if r["sweep"] == name] for name in data["rising"]}
    rate, epochs = BUDGET.learning_rate, BUDGET.steps / 32
    assert {name: [row["value"] for row in rows] for name, rows in sweeps.items()} == {
        "p": [0, 0.05, 0.1, 0.2, 0.3],
        "learning_rate": [rate / 2, rate, rate * 2],
        "epochs": [epochs / 2, epochs, epochs * 2],
    }
    assert data["rising"] == {"p": True, "learning_rate": False, "epochs": True}
    row = sweeps["p"][2]
    assert row["hs"] == pytest.approx(0.11)
    assert [run["seed"] for run in row["per_seed"]] == [0, 2]
    assert row["fa"] == row["per_seed"][0]["fa"] == 0.25
    assert list(data) == ["organism", "split", "budget", "seeds", "before", "rows", "rising"]
    assert (data["organism"], data["split"], data["seeds"]) == ("llama", "test", [0, 2])
    assert data["budget"]["learning_rate"] == rate
    assert data["before"]["test/usefulness"] == 1.0
    lines: list[object] = []
    show(data, lines.append)
    assert len(lines) == 2
    assert lines[1] == "harmful score rises with: p yes, learning_rate NO, epochs yes"


def broken(cell, _):
    raise ValueError(f"a planted fault at {cell.attack.p}")


def test_a_calibration_that_cannot_be_made_is_refused():
    with pytest.raises(ConfigError, match="seed"):
        calibrate(seeds=())
    with pytest.raises(RunError, match="planted fault at 0"):
        calibrate(seeds=[0], run=broken)
