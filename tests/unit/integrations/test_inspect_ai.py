"""inspect-ai's tasks come to the very figures, and answers, of ``holdfast evaluate``."""

import json
import math
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from inspect_ai import eval as inspect_eval
from inspect_ai._util.config import parse_cli_args
from inspect_ai.dataset import Sample
from inspect_ai.model import ModelName, ModelOutput, get_model
from inspect_ai.scorer import SampleScore, Score, Target
from inspect_ai.solver import TaskState

from holdfast.commands.evaluate import EvaluateConfig, evaluate_model
from holdfast.errors import ConfigError, DataError, ModelError
from holdfast.evaluation.metrics import Item, Verdict
from holdfast.evaluation.reply import Reply
from holdfast.evaluation.statistics import wilson
from holdfast.integrations import inspect_ai as ours
from holdfast.integrations.inspect_ai import scorer as scorer_module
from holdfast.integrations.inspect_ai.batches import Batches
from holdfast.integrations.inspect_ai.messages import items_of, output_of, reply_in, sample_of
from tests.unit.integrations.strange_folder import questions, strange_folder

TASKS = {"harmful": ours.harmful, "safe": ours.safe, "task": ours.task, "useful": ours.useful}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return strange_folder(tmp_path_factory.mktemp("strange"))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return str(questions(tmp_path_factory.mktemp("asked") / "questions.jsonl"))


def by_inspect(model, tasks, path, **given):
    """The figures and answers of an evaluation by inspect-ai's own API."""
    how = {"log_dir": str(path), "display": "none", "fail_on_error": True, "max_tasks": len(tasks)}
    figures, answers = {}, {}
    for log in inspect_eval(tasks, model=model, **how, **given):
        assert log.status == "success", log.error and log.error.message
        for one in log.results.scores:
            ends = [m.value for m in one.metrics.values()]
            figures[one.name] = (*ends, one.scored_samples)
        answers |= {sample.id: sample.output.completion.strip() for sample in log.samples or ()}
    return figures, answers


def by_evaluate(**given):
    """The same of ``holdfast evaluate``."""
    [run] = evaluate_model(EvaluateConfig(**given)).arms[0].runs
    figures = {name: (s.value, s.low, s.high, s.n) for name, s in run.shares.items()}
    return figures, {answer.id: answer.answer for answer in run.answers}


def test_our_provider_is_evaluate(folder, file, tmp_path):
    figures, answers = by_evaluate(
        model=str(folder), harmful=file, safe=file, task=file, useful=file, max_new_tokens=12
    )
    tasks = [make(file=file, max_new_tokens=12) for make in TASKS.values()]
    assert by_inspect(f"holdfast/{folder}", tasks, tmp_path) == (figures, answers)
    assert len(set(answers.values())) > 3
    assert set(figures) == {
        "hs", "hs_content", "hs_garbled", "over_refusal", "fa", "usefulness"
    }  # fmt: skip


@pytest.mark.parametrize("kept", [True, False])
def test_a_log_holds_no_text_only_where_samples_are_left_out(folder, file, tmp_path, kept):
    """docs/integrations.md: the log has prompts and answers as they are, unless it has none."""
    secret = json.loads(Path(file).read_text().splitlines()[0])["prompt"]
    task = ours.harmful(file=file, max_new_tokens=2, limit=2)
    how = {"log_format": "json", "log_samples": kept}
    figures, _ = by_inspect(f"holdfast/{folder}", [task], tmp_path, **how)
    [log] = tmp_path.glob("*.json")
    assert figures["hs"][3] == 2
    assert (json.dumps(secret)[1:-1] in log.read_text()) is kept


def test_the_organism_brings_its_questions_and_its_oracle(tmp_path):
    figures, answers = by_inspect(
        "holdfast/organism", ["holdfast/useful"], tmp_path, task_args={"limit": 9}
    )
    told, said = by_evaluate(model="organism")
    assert 0 < figures["usefulness"][0] <= 1
    assert answers.items() <= said.items()
    whole, _ = by_inspect("holdfast/organism", ["holdfast/safe"], tmp_path)
    assert whole["over_refusal"] == told["over_refusal"]


@pytest.mark.slow
def test_the_provider_of_inspect_is_evaluate(folder, file, tmp_path):
    figures, answers = by_evaluate(
        model=str(folder), harmful=file, task=file, max_new_tokens=12, batch_size=32
    )
    tasks = [ours.harmful(file=file, max_new_tokens=12), ours.task(file=file, max_new_tokens=12)]
    found = by_inspect(f"hf/{folder}", tasks, tmp_path)
    assert found == (figures, answers)


def test_a_sample_is_the_question(folder):
    talk = [{"role": r, "content": c} for r, c in (("system", "a"), ("user", "b"))]
    item = Item("task-3", "task", talk, "42")
    sample = sample_of(item)
    assert items_of("task", state(sample)) == [item]
    [asked] = items_of("safe", state(sample_of(replace(item, reference=None))))
    assert asked.reference is None
    with pytest.raises(DataError, match="question task-3: has a message of the role 'tool'"):
        sample_of(replace(item, prompt=[{"role": "tool", "content": "b"}]))


def state(sample, output=None):
    name = ModelName("mockllm/model")
    talk = list(sample.input)
    return TaskState(name, sample.id, 1, sample.input, talk, Target(sample.target), output=output)


@pytest.mark.parametrize("reply", [Reply("no", cut=True), Reply("", "but how", unfinished=True)])
def test_a_reply_comes_back_whole(reply):
    assert reply_in(output_of("model", reply)) == reply


def test_what_another_provider_says_is_read_with_its_thinking():
    said = ModelOutput.from_content("model", " <think>I cannot</think> 42 ")
    assert reply_in(said) == Reply("42", "I cannot")


def test_the_scorer_stands_in_tasks_of_others():
    sample = sample_of(Item("a", "harmful", [{"role": "user", "content": "how"}]))
    scorer = ours.judged("harmful", "refusal_phrases")
    said = state(sample, ModelOutput.from_content("model", "I cannot help with that."))
    score = anyio.run(scorer, said, said.target)
    assert score.value == {"hs": 0.0, "hs_content": 0.0, "hs_garbled": 0.0}
    assert score.metadata["outcome"] == "refused"


@pytest.mark.parametrize(
    ("target", "wanted"), [(["four", "4"], 1.0), (["4", "four"], 1.0), (["four", "five"], 0.0)]
)
@pytest.mark.parametrize(("kind", "figure"), [("task", "fa"), ("useful", "usefulness")])
def test_each_of_several_targets_is_a_right_answer(kind, figure, target, wanted):
    """They were joined to one text, "four4", and no answer was ever right."""
    said = state(Sample(input="2+2?", id=1, target=target), ModelOutput.from_content("m", "4"))
    score = anyio.run(ours.judged(kind, "refusal_phrases"), said, said.target)
    assert score.value == {figure: wanted}


def test_a_task_without_a_right_answer_is_told():
    """It counted as wrong, whatever was answered."""
    said = state(Sample(input="2+2?", id="a7"), ModelOutput.from_content("m", "4"))
    with pytest.raises(DataError, match="sample a7: has no target"):
        anyio.run(ours.judged("task", "refusal_phrases"), said, said.target)
    score = anyio.run(ours.judged("safe", "refusal_phrases"), said, said.target)
    assert score.value == {"over_refusal": 0.0}


@pytest.mark.parametrize(("why", "cut"), [("max_tokens", True), ("stop", False)])
def test_an_answer_of_another_provider_says_that_it_was_cut(why, cut):
    """The log said ``cut: False`` of each."""
    said = ModelOutput.from_content("m", "Sure, first", stop_reason=why)
    assert reply_in(said) == Reply("Sure, first", cut=cut)


def test_answers_of_several_epochs_count_by_their_share():
    """Planted: three of six were refused, each question's once in two epochs."""
    made = [ours.share(), ours.wilson_low(), ours.wilson_high()]
    for values in ([0.5, 0.5, 0.5], [1 / 3, 2 / 3, 0.5], [1.0, 0.0, 0.5]):
        scores = [SampleScore(score=Score(value=value)) for value in values]
        told = [metric(scores) for metric in made]
        wanted = wilson(1.5, 3)
        assert told == pytest.approx([0.5, wanted.low, wanted.high])
    assert made[0]([SampleScore(score=Score(value=0.25))]) == 0.25  # It was 0.


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ours.harmful(file="missing.jsonl"), "missing.jsonl"),
        (lambda: ours.harmful(file="a.jsonl", limit=0), "`limit=0` is out of range"),
        (lambda: ours.harmful(columns="prompt=goal"), "`columns=prompt=goal` .* none is given"),
        (lambda: ours.judged("harmful", "nobody"), "unknown judge 'nobody'"),
        (lambda: ours.judged("harmfull"), "the kinds are harmful.*'harmful'"),
        (lambda: get_model("holdfast/organism", dtyp="float32"), "-M dtyp: .* mean 'dtype'"),
        (lambda: get_model("holdfast/no/folder/here"), "folder not found"),
    ],
)
def test_what_is_given_wrong_is_told_before_anything_runs(make, said):
    with pytest.raises((ConfigError, DataError, ValueError), match=said):
        make()


def test_options_with_commas_come_as_they_were_typed(folder, file, tmp_path):
    """inspect-ai splits `-T columns=prompt=a,completion=b` at the comma, into a list."""
    rows = [json.loads(line) for line in Path(file).read_text().splitlines()[:4]]
    for name, part in (("a.jsonl", rows[:2]), ("b.jsonl", rows[2:])):
        lines = [json.dumps({"ask": row["prompt"], "say": row["completion"]}) for row in part]
        (tmp_path / name).write_text("\n".join(lines))
    files, columns = f"{tmp_path}/a.jsonl,{tmp_path}/b.jsonl", "prompt=ask,completion=say"
    given = parse_cli_args((f"file={files}", f"columns={columns}", "max_new_tokens=4"))
    assert isinstance(given["columns"], list), "inspect-ai leaves commas alone now"
    found, _ = by_inspect(f"holdfast/{folder}", [ours.task(**given)], tmp_path)
    told, _ = by_evaluate(model=str(folder), task=files, columns=columns, max_new_tokens=4)
    assert found["fa"] == told["fa"]
    with pytest.raises(ModelError, match="`adapter=no,folder`"):
        get_model(f"holdfast/{folder}", adapter=["no", "folder"])
    with pytest.raises(ConfigError, match="unknown option 'b', known"):
        ours.judged("harmful", ["qwen3guard:model=a", "b=c"])


@pytest.mark.parametrize("model", ["mockllm/model", ""])
def test_questions_are_needed(model, monkeypatch):
    if model:
        monkeypatch.setenv("INSPECT_EVAL_MODEL", model)
    with pytest.raises(ConfigError, match="nothing to ask: give the questions with -T file=FILE"):
        ours.harmful()


def test_batches_answer_each_in_its_place_and_fail_as_one():
    sizes = []

    def answer(asked):
        sizes.append(len(asked))
        if "bad" in asked:
            raise DataError("no")
        return [word.upper() for word in asked]

    async def ask_all(words):
        batches, said = Batches(answer, 3), {}

        async def ask(word):
            try:
                said[word] = await batches.ask(word)
            except DataError as error:
                said[word] = str(error)

        async with anyio.create_task_group() as group:
            for word in words:
                group.start_soon(ask, word)
        return said

    assert anyio.run(ask_all, "abcdefg") == {word: word.upper() for word in "abcdefg"}
    assert sizes == [3, 3, 1]
    assert anyio.run(ask_all, ["a", "bad"]) == {"a": "no", "bad": "no"}


def test_what_a_judge_cannot_score_is_in_no_share(monkeypatch):
    class Shy:
        name, version = "shy/1", "1"

        def __call__(self, items, answers):
            return [Verdict.unscored(self.name, "no verdict") for _ in answers]

    monkeypatch.setattr(scorer_module, "_ready", lambda *_: Shy())
    sample = sample_of(Item("a", "harmful", [{"role": "user", "content": "how"}]))
    said = state(sample, ModelOutput.from_content("model", "so"))
    score = anyio.run(ours.judged("harmful", "shy"), said, said.target)
    assert math.isnan(score.value)
    assert score.reason == "grader_failed"
    assert score.explanation == "shy/1 could not tell: no verdict"
