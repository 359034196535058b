"""What defenses say of a run: blocks and values, also out of files of earlier versions."""

import json
import math
from pathlib import Path

import pytest

from holdfast.artifact import Artifact, Curve, Sentence, Table
from holdfast.errors import ConfigError, InputError
from holdfast.results.diagnose import diagnose
from holdfast.results.records import Arm, Diagnostics, SeedRun
from holdfast.results.result import SCHEMA_VERSION, RunResult

CURVE = Curve("A curve", "x", (0.0, 1.0), {"y": (1.0, None)}, marked=1.0, spread={"y": (0.1, 0.2)})
TABLE = Table("A table", ("a", "b"), (("x", 1), (None, 2.5)), "A note.")
SAID = Sentence("A finding", "It works.")
REPORT = {"curve": CURVE, "norm": 0.5, "table": TABLE, "said": SAID, "warnings": ["look"]}
EARLIER = {
    "frontier": [
        {"scale": 0.0, "harmful_loss": 0.1, "harmful_score": 0.8, "task_score": None},
        {"scale": 0.5, "harmful_loss": 0.9, "harmful_score": None, "chosen": True},
    ],
    "safety_coefficients": [
        {"layer": -1, "absolute_sum": 2.0, "rms": 0.1, "rms_spread": 0.01},
        {"layer": 0, "absolute_sum": 4.0, "rms": None, "rms_spread": None},
    ],
    "gate": {"harmful_nll": 0.2, "benign_kl": None},
    "values": {"norm": 0.5},
}
PUBLISHED = sorted(Path(__file__).parents[3].glob("results/**/*.json"))


def kept(said):
    """What is left of it after a result file."""
    result = RunResult.of("tune", [Arm(defense="mine", runs=[SeedRun(seed=0, diagnostics=said)])])
    again = RunResult.model_validate_json(result.model_dump_json())
    return again.arms[0].runs[0].diagnostics


def test_a_report_is_sorted_into_blocks_and_values_by_what_they_are():
    found = diagnose([Artifact("mine", report=REPORT)])
    assert found["mine"].blocks == {"curve": CURVE, "table": TABLE, "said": SAID}
    assert found["mine"].values == {"norm": 0.5, "warnings": ["look"]}
    assert kept(found) == found


def test_what_json_cannot_hold_is_not_measured():
    curve = Curve("c", "x", (0.0, 1.0, 2.0), {"y": (math.nan, math.inf, 1.0)})
    table = Table("t", ("a",), ((math.nan,),))
    found = diagnose([Artifact("mine", report={"curve": curve, "table": table})])
    assert found["mine"].blocks["curve"].series == {"y": (None, None, 1.0)}
    assert found["mine"].blocks["table"].rows == ((None,),)
    assert kept(found) == found


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: Table("t", ("a", "b"), ((1, 2), (1,), (1, 2))), "'t': a row has 1 values.* 2"),
        (lambda: Curve("c", "x", (0.0,), {"y": ()}), "'c': y has 0 values, expected 1"),
        (lambda: Curve("c", "x", (0.0,), {}, spread={"z": (1, 2)}), "z has 2 values, expected 1"),
    ],
)
def test_a_block_with_a_hole_is_named(made, said):
    with pytest.raises(ConfigError, match=said):
        made()


def test_the_fields_of_an_earlier_file_are_blocks():
    found = Diagnostics.model_validate(json.loads(json.dumps(EARLIER)))
    frontier, layers, gate = (
        found.blocks[name] for name in ("frontier", "safety_coefficient", "gate")
    )
    assert frontier.x == (0.0, 0.5)
    assert frontier.series == {
        "harmful score": (0.8, None),
        "harmful loss, nats per token": (0.1, 0.9),
        "task score": (None, None),
    }
    assert frontier.marked == 0.5
    assert layers.x == (-1, 0)
    assert list(layers.series.values()) == [(2.0, 4.0), (0.1, None)]
    assert list(layers.spread.values()) == [(0.01, None)]
    assert gate.columns == ("harmful_nll", "benign_kl")
    assert gate.rows == ((0.2, None),)
    assert found.values == {"norm": 0.5}
    assert kept({"mine": found}) == {"mine": found}
    nothing = {"frontier": [], "safety_coefficients": [], "gate": {}, "values": {}}
    assert Diagnostics.model_validate(nothing) == Diagnostics()


@pytest.mark.parametrize("broken", [{"frontier": [{}]}, {"gate": [1]}, {"frontier": 3}])
def test_an_earlier_file_that_is_damaged_is_told(broken, tmp_path):
    arm = {"defense": "mine", "runs": [{"seed": 0, "diagnostics": {"mine": broken}}]}
    path = tmp_path / "result.json"
    path.write_text(json.dumps({"schema_version": 1, "command": "tune", "arms": [arm]}))
    with pytest.raises(InputError, match=r"damaged at arms\.0\.runs\.0\.diagnostics\.mine"):
        RunResult.load(path)


def test_published_results_load_with_every_block_that_they_held():
    seen = 0
    for path in PUBLISHED:
        document = json.loads(path.read_text())
        if not isinstance(document, dict) or not {"command", "arms"} <= document.keys():
            continue
        result = RunResult.load(path)
        assert result.schema_version == SCHEMA_VERSION
        for arm, old in zip(result.arms, document["arms"], strict=True):
            for run, was in zip(arm.runs, old["runs"], strict=True):
                for name, told in was.get("diagnostics", {}).items():
                    held = [key for key in EARLIER if key != "values" and told.get(key)]
                    assert len(run.diagnostics[name].blocks) >= len(held)
                    seen += len(held)
    assert seen > 0
