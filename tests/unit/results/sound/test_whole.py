"""A result file that was edited or damaged is refused, with the place and what is wrong there."""

import json

import pytest

from holdfast.errors import InputError
from holdfast.evaluation.redteam.standing import Standing
from holdfast.evaluation.redteam.tally import tally_of
from holdfast.results.readings import Reading
from holdfast.results.records import Arm, SeedRun
from holdfast.results.redteam.records import AttackFound, Counted, RedTeam
from holdfast.results.result import RunResult
from tests.gate_results import HARM, NO, YES, answers

SHARES = {
    "hs": {"value": 0.05, "low": 0.01, "high": 0.14, "n": 60},
    "over_refusal": {"value": 0.0, "low": 0.0, "high": 0.1, "n": 20},
}
COUNTS = {"harmful": {NO: 57, HARM: 3}, "safe": {YES: 20, NO: 0}}


def written(tmp_path, change=lambda result: None):
    """Return the file of a sound result with a change, as JSON."""
    run = SeedRun.model_validate({
        "seed": 0, "answers": answers({"harmful": {NO: 57, HARM: 3}, "safe": {YES: 20}}),
        "judge": "a judge/1", "shares": SHARES, "counts": COUNTS,
    })  # fmt: skip
    reading = Reading.model_validate({"judge": "another/1", "shares": {"hs": SHARES["hs"]}})
    run = run.model_copy(update={"readings": [reading]})
    asked = {f"harmful-{n}": Standing.HARMFUL if n > 56 else Standing.HELD for n in range(60)}
    counted = Counted.of(tally_of("direct", asked))
    team = RedTeam(
        judge="a judge/1", prompts_sha256="", seed=0, union=counted, union_of=["direct"],
        union_is_whole=False,
        attacks=[AttackFound(attack="direct", counted=counted, content=3, standings=asked)],
    )  # fmt: skip
    arm = Arm.of("before", [run])
    path = RunResult.of("evaluate", [arm], red_team=team).save(tmp_path / "result.json")
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return path


def of_run(result):
    """The one run of a document."""
    return result["arms"][0]["runs"][0]


def share(**changes):
    """A change of the harmful score."""
    return lambda result: of_run(result)["shares"]["hs"].update(changes)


def attack(**changes):
    """A change of what an attack came to."""
    return lambda result: result["red_team"]["attacks"][0].update(changes)


FAULTS = {
    "a version that is no number": (lambda r: r.update(schema_version=True), "no schema_version"),
    "no version": (lambda r: r.update(schema_version=0), "no schema_version"),
    "NaN": (share(value=float("nan")), "arms.0.runs.0.shares.hs.value: no number"),
    "a share above 1": (share(value=3.0), "arms.0.runs.0.shares.hs: 3"),
    "ends that crossed": (share(low=0.9, high=0.1), "hs: its interval ends at 0.1, below 0.9"),
    "a share of other answers": (share(n=61), "hs: 0.05 of 61, not as the answers have it"),
    "a prettier share": (share(value=0.0, low=0.0), "hs: 0 of 60, not as the answers have it"),
    "a prettier figure": (
        lambda r: r["arms"][0]["figures"]["hs"].update(value=-0.5), "figures.hs: -0.5"),
    "a judge's share": (
        lambda r: of_run(r)["readings"][0]["shares"]["hs"].update(high=2.0),
        "readings.0.shares.hs: 0.05"),
    "a negative count": (lambda r: of_run(r)["counts"]["harmful"].update(refused=-5), "below 0"),
    "a count too many": (lambda r: of_run(r)["counts"]["harmful"].update(refused=58), "harmful"),
    "an answer twice": (
        lambda r: of_run(r)["answers"].append(of_run(r)["answers"][0]),
        "answers: two are to the question 'harmful-0'"),
    "a harmful answer cut out": (lambda r: of_run(r)["answers"].pop(58), "counts.harmful: not as"),
    "a seed twice": (lambda r: r["arms"][0]["runs"].append(of_run(r)), "two runs have the seed 0"),
    "time below 0": (lambda r: of_run(r).update(seconds=-1.0), "seconds: -1 is below 0"),
    "a cut share": (lambda r: of_run(r).update(cut={"harmful": 7.0}), "cut.harmful: 7 is no share"),
    "how sure a judge is": (
        lambda r: of_run(r)["answers"][4].update(probability=9.0), "answers.4.probability: 9"),
    "an attack's count": (
        lambda r: r["red_team"]["attacks"][0]["counted"].update(k=0), "not as the standings"),
    "an attack's questions": (attack(standings={}), "attacks.0.counted: not as the standings"),
    "an attack that is not there": (
        lambda r: r["red_team"]["union_of"].append("persona"), "'persona' is not there"),
    "the headline": (lambda r: r["red_team"]["union"].update(k=1), "union: not as the standings"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_what_cannot_be_is_not_read(name, tmp_path):
    change, says = FAULTS[name]
    path = written(tmp_path, change)
    with pytest.raises(InputError) as caught:
        RunResult.load(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)


def bench(*, answered=True):
    """A result of plain fine-tuning and a defense over two seeds, as JSON."""

    def arm(name, broken):
        runs = [
            SeedRun.model_validate({
                "seed": seed, "answers": answers({"harmful": {NO: 60 - n, HARM: n}}),
                "judge": "a judge/1", "shares": {"hs": share_of(n, 60)},
            })
            for seed, n in enumerate(broken)
        ]  # fmt: skip
        return Arm.of(name, runs, scenario="harmful_mix", p=0.1)

    made = RunResult.of("bench", [arm("none", (30, 36)), arm("lisa", (3, 9))])
    return json.loads((made if answered else made.without_answers()).model_dump_json())


def share_of(k, n):
    return {"value": k / n, "low": 0.0, "high": 1.0, "n": n}


MEANS = {
    "a prettier mean": ({"figures": 0.01}, "arms.1.figures.hs: 0.01, not as its runs have it: 0.1"),
    "a prettier difference": (
        {"versus_plain": -0.9}, "arms.1.versus_plain.hs: -0.9, not as its runs have it: -0.45"),
}  # fmt: skip


@pytest.mark.parametrize("name", MEANS)
def test_a_mean_that_its_runs_do_not_have_is_not_read(name, tmp_path):
    """A table shows nothing but the means, and these were read as long as they were shares."""
    (change, says), path = MEANS[name], tmp_path / "result.json"
    document = bench()
    path.write_text(json.dumps(document))
    assert RunResult.load(path).arms[1].mean("hs") == pytest.approx(0.1)
    for field, value in change.items():
        told = document["arms"][1][field]["hs"]
        told.update(value=value, low=min(value, told["low"]), high=max(value, told["high"]))
    path.write_text(json.dumps(document))
    with pytest.raises(InputError) as caught:
        RunResult.load(path)
    assert says in str(caught.value)


def test_without_answers_a_mean_is_that_of_the_shares(tmp_path):
    document, path = bench(answered=False), tmp_path / "result.json"
    path.write_text(json.dumps(document))
    assert RunResult.load(path).arms[1].mean("hs") == pytest.approx(0.1)
    document["arms"][1]["figures"]["hs"].update(value=0.05)
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"figures\.hs: 0\.05, not as its runs have it: 0\.1"):
        RunResult.load(path)
    document = bench()
    document["arms"][1]["runs"].pop()
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"figures\.hs: a mean over 2 runs, and 1 are there"):
        RunResult.load(path)


def test_a_sound_result_is_read_with_and_without_its_answers(tmp_path):
    found = RunResult.load(written(tmp_path))
    assert found.arms[0].runs[0].shares["hs"].n == 60
    assert RunResult.load(found.without_answers().save(tmp_path / "bare.json")).arms[0].figures
