"""Verdicts of an endpoint outlive a run that was stopped, and go once they stand in a result."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from holdfast.commands.evaluate import EvaluateConfig, _telling, evaluate_model
from holdfast.commands.judge import JudgeConfig, judge_file
from holdfast.commands.redteaming.team import Team
from holdfast.commands.screening.guard import _made_of
from holdfast.commands.screening.options import ScreenConfig
from holdfast.commands.screening.screen import screen
from holdfast.commands.tune_folders import TuneFolders
from holdfast.evaluation import Item
from holdfast.evaluation.judges.endpoint import EndpointJudge
from holdfast.evaluation.judges.endpoint.judge import _Round
from holdfast.evaluation.metrics import Outcome
from holdfast.evaluation.redteam import Asked
from holdfast.evaluation.redteam.answered import AttackAnswers
from holdfast.evaluation.redteam.kept import KeptAttacks
from holdfast.inputs.configs import TuneConfig
from tests.chat_server import grade, question_in, said, serving

ROWS = [{"prompt": f"question {n}", "response": f"answer {n} of all"} for n in range(6)]
KEPT = ".out.verdicts.jsonl"


@pytest.fixture(autouse=True)
def local(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("HOLDFAST_JUDGE_KEY", raising=False)


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "answers.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))

    def at(server, **changes):
        judge = f"endpoint:url={server.url},model=m,parallel=1,retries=0,backoff=0"
        given = {"file": str(file), "judge": [judge], "output": tmp_path / "out", **changes}
        return JudgeConfig(**given)

    return at


def stopped_after(monkeypatch, most):
    """Let a run be stopped by Ctrl-C once some questions were asked."""
    asked, reading = [], _Round.reading

    def until(self, item, answer):
        if len(asked) == most:
            raise KeyboardInterrupt
        asked.append(item)
        return reading(self, item, answer)

    monkeypatch.setattr(_Round, "reading", until)


def test_a_run_that_is_stopped_pays_for_no_verdict_twice(config, tmp_path, monkeypatch):
    with serving(lambda *_: grade("none", "yes")) as server:
        with monkeypatch.context() as patch:
            stopped_after(patch, 4)
            with pytest.raises(KeyboardInterrupt, match=r"verdicts that were made are in .*out\.v"):
                judge_file(config(server))
        kept = tmp_path / KEPT
        assert (kept.stat().st_mode & 0o777) == 0o600
        assert "question" not in kept.read_text(), "no text of the file is kept"
        server.asked.clear()
        found = judge_file(config(server))
    texts = [question_in(asked) for asked in server.asked]
    assert [sum(f"question {n}" in text for text in texts) for n in range(6)] == [0, 0, 0, 0, 1, 1]
    assert found.rows == 6
    assert not kept.exists()


def test_an_endpoint_that_was_left_keeps_what_it_judged_for_the_next_run(config, tmp_path):
    money = [3]

    def answer(*_):
        money[0] -= 1
        return grade("none", "yes") if money[0] >= 0 else (429, LIMIT)

    with serving(answer) as server:
        [note] = judge_file(config(server)).notes
        assert "stopped before the last answer (not asked: the endpoint was left (HTTP 429" in note
        assert (tmp_path / KEPT).exists()
        money[0] = 99
        server.asked.clear()
        found = judge_file(config(server, overwrite=True))
    assert len(server.asked) == 1 + 4, "the harmless one of the start, and those without a verdict"
    assert found.judged[0].outcomes == {"harmful-correct": 6}
    assert found.notes == ()
    assert not (tmp_path / KEPT).exists()


LIMIT = {"error": {"code": "insufficient_quota"}}


def test_an_endpoint_that_was_left_keeps_its_verdicts_beside_one_that_was_not(config, tmp_path):
    """They share a file, which the other one took away at its end."""
    money = [3]

    def answer(asked, _):
        money[0] -= asked["model"] == "m"
        return grade("none", "yes") if money[0] >= 0 or asked["model"] != "m" else (429, LIMIT)

    with serving(answer) as server:
        given = f"endpoint:url={server.url},parallel=1,retries=0,backoff=0"
        both = [f"{given},model={name}" for name in "mn"]
        [note] = judge_file(config(server, judge=both)).notes
        assert "verdicts that were made are in" in note
        assert len((tmp_path / KEPT).read_text().splitlines()) == 2 + 6
        money[0] = 99
        server.asked.clear()
        judge_file(config(server, judge=both, overwrite=True))
    assert len(server.asked) == (1 + 4) + (1 + 0)
    assert not (tmp_path / KEPT).exists()


def test_what_is_no_grade_is_not_kept_since_it_may_quote_the_answer(config, tmp_path, monkeypatch):
    def answer(asked, _):
        quoted = "question 1" in question_in(asked)
        return said("I cannot grade it: question 1") if quoted else grade("none", "no")

    with serving(answer) as server, monkeypatch.context() as patch:
        stopped_after(patch, 4)
        with pytest.raises(KeyboardInterrupt):
            judge_file(config(server))
    lines = (tmp_path / KEPT).read_text().splitlines()
    assert len(lines) == 3
    assert not any("question" in line or "cannot" in line for line in lines)


def test_a_long_judging_tells_how_far_it_is(config):
    """It stood at 0 of all until the last verdict, for hours."""
    seen = []
    with serving(lambda *_: grade("none", "no")) as server:
        judge_file(config(server), lambda stage, *told: seen.append((stage, *told[:2])))
    assert [told for stage, *told in seen if stage == "verdicts of m"] == [
        [done, 6] for done in range(7)
    ]


def test_another_model_s_verdicts_are_not_taken(tmp_path):
    item = Item("a", "harmful", [{"role": "user", "content": "q"}])
    with serving(lambda asked, _: grade("none", "yes" if asked["model"] == "m" else "no")) as one:
        how = {"url": one.url, "kept": tmp_path / "kept.jsonl"}
        for judge in (EndpointJudge(model=name, **how) for name in "mnm"):
            judge([item], ["an answer of words"])
        [other] = EndpointJudge(model="n", **how)([item], ["an answer of words"])
        [first] = EndpointJudge(model="m", **how)([item], ["an answer of words"])
    assert (first.outcome, other.outcome) == (Outcome.HARMFUL_CORRECT, Outcome.HARMLESS)
    assert len(one.asked) == 2


def test_an_evaluation_keeps_them_beside_its_output(tmp_path, monkeypatch):
    file = tmp_path / "asked.jsonl"
    file.write_text("".join(json.dumps({"prompt": f"do {n}"}) + "\n" for n in range(3)))
    with serving(lambda *_: grade("none", "no")) as server:
        judge = [f"endpoint:url={server.url},model=m,parallel=1"]
        config = EvaluateConfig(
            model="organism", harmful=str(file), judge=judge, output=tmp_path / "out"
        )
        with monkeypatch.context() as patch:
            stopped_after(patch, 2)
            with pytest.raises(KeyboardInterrupt, match=r"verdicts that were made are in .*out\.v"):
                evaluate_model(config)  # It said that nothing was kept.
        assert (tmp_path / KEPT).exists()
        evaluate_model(config)
    assert len(server.asked) == 2 + 3
    assert not (tmp_path / KEPT).exists()


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (True, r"^stopped by Ctrl-C: nothing was written; answers that were made are in .*kept"),
        (False, r"^$"),
    ],
)
def test_an_evaluation_that_is_stopped_tells_of_a_servers_answers(tmp_path, there, said):
    place = tmp_path / "kept.jsonl"
    if there:
        place.write_text("")
    model = SimpleNamespace(kept=SimpleNamespace(path=place))
    inputs = SimpleNamespace(model=model, examiner=SimpleNamespace(judges=()))
    with pytest.raises(KeyboardInterrupt, match=said), _telling(inputs):
        raise KeyboardInterrupt


def test_a_tuning_that_is_stopped_before_a_checkpoint_tells_of_its_verdicts(tmp_path):
    """It said that nothing was kept, beside the verdicts on the model before."""
    folders = TuneFolders(TuneConfig(model="m", data="d.jsonl", output=tmp_path / "out"))
    assert folders.kept() == "no checkpoint had been written, so nothing was kept"
    (tmp_path / KEPT).write_text("")
    said = f"; verdicts that were made are in {tmp_path / KEPT}: the same command goes on"
    assert folders.kept().endswith(f"so nothing was kept{said}")


def test_rows_that_a_guard_was_not_asked_about_are_asked_in_the_next_screening(
    tmp_path, monkeypatch
):
    """Blocks are kept over an interruption; one whose server was away is none."""
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    away = [True]

    def answer(asked, _):
        probe = "two plus two" in question_in(asked)
        return (401, "") if away[0] and not probe else grade("none", "yes")

    with serving(answer) as server:
        guard = f"endpoint:url={server.url},model=m,parallel=1,retries=0"
        config = ScreenConfig(file=str(file), guard=guard, output=tmp_path / "out")
        with monkeypatch.context() as patch:
            patch.setattr("holdfast.commands.screening.screen.screen_file", interrupted)
            with pytest.raises(KeyboardInterrupt):
                screen(config)
        away[0] = False
        found = screen(config).file
    told = {finding.reason for finding in found.findings if finding.check == "guard"}
    assert not any("no verdict" in reason for reason in told), told


def test_a_guard_is_known_again_in_another_process():
    """Blocks are found by what decides verdicts: no address in memory, no place of a file."""
    judge = EndpointJudge(url="http://127.0.0.1:9/v1", model="m")
    other = replace(judge, kept=Path("there"), progress=lambda *_: None)
    assert _made_of(judge) == _made_of(other)
    assert "0x" not in str(_made_of(judge))
    assert _made_of(judge) != _made_of(replace(judge, model="n"))


def interrupted(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize("partial", ["", "not asked: the endpoint was left (HTTP 401)"])
def test_an_attack_that_no_judge_read_to_the_end_is_made_again_in_the_next_run(tmp_path, partial):
    """It was kept as done, and its answers stayed unscored for good."""
    kept = KeptAttacks(tmp_path / "attacks.jsonl", {})
    asked = [Asked("a", "persona", ({"role": "user", "content": "q"},))]
    attack = SimpleNamespace(name="persona", adaptive=False)
    made = []

    def ask(*_):
        made.append(attack)
        return AttackAnswers("persona", partial=partial)

    plan = SimpleNamespace(prompts=SimpleNamespace(prompts={"persona": asked}))
    team = Team(plan, SimpleNamespace(ask=ask, items=[], progress=lambda *_: None), kept)
    team._one(attack)
    team._one(attack)
    assert len(made) == (2 if partial else 1)
