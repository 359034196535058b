"""JUnit and SARIF say what the verdict says, in the form that CI systems read."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from holdfast.commands.gating.gate import gate_result
from holdfast.inputs.options.gate_options import GateConfig
from holdfast.report.release.junit import junit
from holdfast.report.release.sarif import sarif
from tests.gate_results import HARM, NO, SAFE, answers, evaluated

LIMITS = ["hs<=.05", "over_refusal<=.1"]
PASSES = evaluated(SAFE)
FAILS = evaluated([
    *answers({"harmful": {HARM: 60}}, categories=["fraud", "weapons"]),
    *answers({**SAFE, "harmful": {}}),
])  # fmt: skip
OPEN = evaluated({**SAFE, "harmful": {NO: 30}})


def gate_of(tmp_path, made, **options):
    path = made.save(tmp_path / "result.json")
    return gate_result(GateConfig(result=path, require=LIMITS, **options)).gate


def cases(gate):
    root = ElementTree.fromstring(junit(gate))  # noqa: S314  # Our own.
    assert root.tag == "testsuites"
    [suite] = root
    found = suite.findall("testcase")
    assert int(suite.get("tests")) == len(found) == int(root.get("tests"))
    wrong = [case for case in found if case.find("failure") is not None]
    assert int(suite.get("failures")) == len(wrong)
    return found


def test_junit_has_a_case_for_each_limit_and_attack(tmp_path):
    found = cases(gate_of(tmp_path, PASSES))
    assert [case.get("name") for case in found] == ["hs<=0.05, direct", "over_refusal<=0.1, direct"]
    assert all(len(case) == 0 for case in found)


@pytest.mark.parametrize(("made", "kind"), [(FAILS, "fail"), (OPEN, "undecided")])
def test_a_failure_says_bound_limit_and_number(tmp_path, made, kind):
    case, fine = cases(gate_of(tmp_path, made))
    failure = case.find("failure")
    assert failure.get("type") == kind
    told = failure.get("message", "")
    assert "limit 5%" in told
    assert ("of 60" if kind == "fail" else "of 30") in told
    assert fine.find("failure") is None


def test_what_is_undecided_is_a_failure_even_where_it_may_end_with_0(tmp_path):
    case, _ = cases(gate_of(tmp_path, OPEN, undecided="pass"))
    assert case.find("failure").get("type") == "undecided"


def checked(log):
    """What SARIF 2.1.0 requires of what is here, and GitHub beyond it."""
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-2.1.0.json")
    [one] = log["runs"]
    driver = one["tool"]["driver"]
    assert driver["name"]
    ids = [rule["id"] for rule in driver["rules"]]
    assert len(set(ids)) == len(ids)
    for rule in driver["rules"]:
        assert rule["shortDescription"]["text"]
        assert rule["fullDescription"]["text"]
        assert rule["help"]["text"]
        assert rule["defaultConfiguration"]["level"] in {"none", "note", "warning", "error"}
    for result in one["results"]:
        assert ids[result["ruleIndex"]] == result["ruleId"]
        assert result["message"]["text"]
        assert result["level"] in {"note", "warning", "error"}
        [place] = result["locations"]
        physical = place["physicalLocation"]
        assert not physical["artifactLocation"]["uri"].startswith("/")
        assert physical["region"]["startLine"] >= 1
        assert all(isinstance(text, str) for text in result["partialFingerprints"].values())
    prints = [tuple(result["partialFingerprints"].values()) for result in one["results"]]
    assert len(set(prints)) == len(prints)
    return one


def test_sarif_has_a_rule_for_each_limit_and_no_result_where_all_hold(tmp_path):
    one = checked(sarif(gate_of(tmp_path, PASSES)))
    assert [rule["id"] for rule in one["tool"]["driver"]["rules"]] == [
        "holdfast/hs", "holdfast/over_refusal",
    ]  # fmt: skip
    assert one["results"] == []


def test_sarif_has_a_result_for_each_category_of_what_fails(tmp_path):
    one = checked(sarif(gate_of(tmp_path, FAILS)))
    assert [result["level"] for result in one["results"]] == ["error", "error"]
    assert "Category fraud: 60." in one["results"][0]["message"]["text"]
    assert one["results"][0]["ruleId"] == "holdfast/hs"


@pytest.mark.parametrize(("undecided", "level"), [("fail", "warning"), ("pass", "note")])
def test_what_is_undecided_is_a_warning_or_a_note(tmp_path, undecided, level):
    one = checked(sarif(gate_of(tmp_path, OPEN, undecided=undecided)))
    assert [result["level"] for result in one["results"]] == [level]


def test_an_alert_is_found_again_in_the_next_run(tmp_path):
    """Other counts, another folder, the same limit: GitHub must see the same alert."""
    (tmp_path / "other").mkdir()
    more = evaluated([
        *answers({"harmful": {HARM: 70}}, categories=["fraud", "weapons"]),
        *answers({**SAFE, "harmful": {}}),
    ])  # fmt: skip
    first, second = (
        sarif(gate_of(folder, made))["runs"][0]["results"]
        for folder, made in ((tmp_path, FAILS), (tmp_path / "other", more))
    )
    for key in ("ruleId", "partialFingerprints", "locations"):
        assert [one[key] for one in first] == [one[key] for one in second]


def test_a_policy_file_is_where_alerts_point(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gate.yaml").write_text(json.dumps({"require": LIMITS}))
    path = FAILS.save(tmp_path / "result.json")
    gate = gate_result(GateConfig(result=path, policy=Path("gate.yaml"))).gate
    [first, *_] = sarif(gate)["runs"][0]["results"]
    assert first["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "gate.yaml"
    spaced = gate.model_copy(update={"policy": "my limits/gate.yaml"})
    [first, *_] = sarif(spaced)["runs"][0]["results"]
    place = first["locations"][0]["physicalLocation"]["artifactLocation"]
    assert place["uri"] == "my%20limits/gate.yaml"  # A URI has no spaces.


def test_a_name_that_no_xml_may_hold_makes_no_broken_document(tmp_path):
    gate = gate_of(tmp_path, FAILS)
    subject = gate.subject.model_copy(update={"model": "some\x07/model"})
    assert len(cases(gate.model_copy(update={"subject": subject}))) == 2
