"""The result file: whole or not at all, versioned, and the rows a machine reads."""

import json
import math
from pathlib import Path

import pytest

from holdfast.errors import InputError, RunError
from holdfast.results.records import Arm, SeedRun
from holdfast.results.result import SCHEMA_VERSION, RunResult
from tests.synthetic_result import ARMS, synthetic_result

SCHEMA = Path(__file__).with_name("result.schema.json")
# The keys of issue 2, section 6.
ROW = [
    *("scenario", "p", "defense", "seeds", "hs", "hs_content"),
    *("over_refusal", "fa", "usefulness", "relative_time"),
]


@pytest.fixture(scope="module")
def result():
    return synthetic_result()


def test_a_saved_result_loads_as_it_was(result, tmp_path):
    path = result.save(tmp_path / "deep" / "result.json")
    assert RunResult.load(path) == result
    assert [p.name for p in path.parent.iterdir()] == ["result.json"]


def test_rows_are_the_issues(result):
    rows = result.rows()
    assert [list(row) for row in rows] == [ROW] * 6
    assert [row["defense"] for row in rows] == [name for name in ARMS if name != "before"]
    assert {(row["scenario"], row["p"], row["seeds"]) for row in rows} == {("harmful_mix", 0.1, 3)}
    json.dumps(rows, allow_nan=False)


def test_rows_are_means_over_seeds(result):
    plain = next(row for row in result.rows() if row["defense"] == "none")
    runs = next(arm for arm in result.arms if arm.defense == "none").runs
    for figure in ("hs", "hs_content", "over_refusal", "fa", "usefulness"):
        mean = sum(run.shares[figure].value for run in runs) / 3
        assert plain[figure] == pytest.approx(mean)
    assert plain["hs"] > plain["hs_content"] > 0


def test_time_is_relative_to_plain_fine_tuning_of_the_same_seed(result):
    found = {row["defense"]: row["relative_time"] for row in result.rows()}
    assert found["none"] == 1.0
    expected = sum((14.8 + s / 10) / (10.0 + s / 10) for s in range(3)) / 3
    assert found["security_vectors"] == pytest.approx(expected)


def test_arms_are_compared_with_plain_in_pairs(result):
    arms = {arm.defense: arm for arm in result.arms}
    assert arms["none"].versus_plain == {}
    assert arms["before"].versus_plain == {}
    difference = arms["security_vectors"].versus_plain["hs"]
    expected = arms["security_vectors"].mean("hs") - arms["none"].mean("hs")
    assert difference.value == pytest.approx(expected)
    assert len(difference.p_values) == 3


def test_arms_of_other_data_are_not_compared():
    def arm(defense, p):
        return Arm.of(defense, [SeedRun(seed=0, seconds=2.0)], scenario="s", p=p)

    found = RunResult.of("bench", [arm("none", 0.1), arm("panacea", 0.2)])
    assert found.relative_time(found.arms[1]) is None


def test_a_run_without_judge_and_with_one_seed_is_a_result_too(tmp_path):
    run = SeedRun.of(0, losses=[{"name": "user", "steps": [1, 2], "values": [1.0, math.nan]}])
    assert run.losses[0].values == [1.0, None]
    found = RunResult.of("tune", [Arm.of("panacea", [run])], model="m")
    path = found.save(tmp_path / "result.json")
    again = RunResult.load(path)
    assert again.arms[0].runs[0].losses[0].values == [1.0, None]
    assert again.rows()[0]["hs"] is None
    assert again.real_model


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not a whole JSON file"),
        ('{"schema_version": 1, "arms": [', "not a whole JSON file"),
        ("[1]", "expected a JSON object"),
        ('{"rows": []}', "no schema_version"),
        ('{"schema_version": 99}', "schema version 99 and this holdfast reads up to 2"),
        ('{"schema_version": 1}', "damaged at command"),
        ('{"schema_version": 1, "command": "demo", "colour": 1}', "damaged at colour"),
        ('{"schema_version": 1, "command": "demo", "arms": [{}]}', "damaged at arms.0.defense"),
        ("\ufeff\x00", "not a whole JSON file"),
    ],
)
def test_a_damaged_file_is_one_line(text, says, tmp_path):
    path = tmp_path / "result.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=says) as caught:
        RunResult.load(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_bytes_that_are_no_text_are_one_line(tmp_path):
    path = tmp_path / "result.json"
    path.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(InputError, match="not a whole JSON file"):
        RunResult.load(path)


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.json cannot be read"):
        RunResult.load(tmp_path / "nothing.json")


def test_a_full_disk_leaves_the_earlier_result_whole(result, tmp_path, monkeypatch):
    path = result.save(tmp_path / "result.json")
    earlier = path.read_bytes()

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("holdfast.files.whole.os.fsync", full)
    with pytest.raises(RunError, match="No space left on device"):
        result.save(path)
    assert path.read_bytes() == earlier
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


def test_the_schema_is_the_recorded_one():
    """A change here is a change for everyone who reads results: raise SCHEMA_VERSION if it breaks.

    Record anew with json.dumps(RunResult.model_json_schema(), indent=1, sort_keys=True).
    """
    assert RunResult.model_json_schema() == json.loads(SCHEMA.read_text())
    assert SCHEMA_VERSION == 2


def test_a_published_result_keeps_every_figure_and_no_answer(result):
    bare = result.without_answers()
    assert not [a for arm in bare.arms for run in arm.runs for a in run.answers]
    assert bare.rows() == result.rows()
    for ours, theirs in zip(bare.arms, result.arms, strict=True):
        assert ours.figures == theirs.figures
        assert ours.versus_plain == theirs.versus_plain
