"""lm-eval's tasks on the model that is loaded: its own figures, and nothing of it stays behind."""

import json
from copy import deepcopy
from types import SimpleNamespace

import pytest

from holdfast.cli.shell.console import print_result
from holdfast.commands.evaluate import EvaluateConfig, evaluate_model
from holdfast.errors import ConfigError, DataError, RunError
from holdfast.inputs.options.outside_options import BenchmarkOptions
from holdfast.integrations import lm_eval as ours
from holdfast.integrations.lm_eval import BenchmarkTasks, benchmark_tasks, scores_in
from holdfast.report.page import render
from holdfast.results.benchmarks import Benchmarks, BenchmarkScore
from holdfast.results.records import Arm, SeedRun
from holdfast.results.result import RunResult
from tests.tiny import tiny_model, tiny_tokenizer
from tests.unit.integrations.toy_task import toy_task

FOUND = {
    "results": {
        "grp": {"name": "grp", "alias": "grp", "sample_len": 7, "acc,none": 0.5,
                "acc_stderr,none": "N/A", "sample_count": {"acc,none": 7}},
        "one": {"alias": "one", "sample_len": 7, "exact_match,strict-match": 0.25,
                "exact_match_stderr,strict-match": 0.125, "words,none": "n/a"},
    },
    "versions": {"grp": "3", "one": 1.5},
    "n-shot": {"one": 2},
    "higher_is_better": {"one": {"exact_match": True}},
}  # fmt: skip
"""In the form that lm-eval 0.4.13 returns."""


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return toy_task(tmp_path_factory.mktemp("lm-eval") / "tasks")


@pytest.mark.slow
def test_the_figures_are_those_of_lm_eval(toy, tmp_path):
    harness = pytest.importorskip("lm_eval")
    from lm_eval.tasks import TaskManager  # noqa: PLC0415  # It takes seconds.

    folder = tmp_path / "model"
    tiny_model("llama", seed=5).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    result = evaluate_model(
        EvaluateConfig(
            model=str(folder),
            lm_eval="toy_words",
            lm_eval_path=toy,
            lm_eval_limit=6,
            lm_eval_shots=1,
            output=tmp_path / "out",
        )
    )
    theirs = harness.simple_evaluate(
        model="hf", model_args=f"pretrained={folder},dtype=float32", device="cpu",
        tasks=["toy_words"], limit=6, num_fewshot=1, log_samples=False,
        task_manager=TaskManager(include_path=str(toy), include_defaults=False),
    )["results"]["toy_words"]  # fmt: skip
    told = {one.metric: (one.value, one.stderr) for one in result.benchmarks.scores}
    assert told == {name: (theirs[f"{name},none"], theirs[f"{name}_stderr,none"]) for name in told}
    assert set(told) == {"acc", "acc_norm"}
    assert {(s.n, s.shots, s.version) for s in result.benchmarks.scores} == {(6, 1, "1.5")}
    assert RunResult.load(tmp_path / "out" / "result.json") == result
    assert "toy_words" in render(result)


def test_every_figure_is_read_and_nothing_else():
    assert scores_in(FOUND) == [
        BenchmarkScore(task="grp", version="3", metric="acc", value=0.5, n=7),
        BenchmarkScore(
            task="one", version="1.5", metric="exact_match,strict-match", value=0.25, stderr=0.125,
            n=7, shots=2, higher_is_better=True,
        ),
    ]  # fmt: skip


class Stub:
    """What ours asks of lm-eval: it may spoil what it is given, and fail."""

    __version__ = "9"

    def __init__(self, fails=None):
        self.fails = fails

    def HFLM(self, model, tokenizer, batch_size):  # noqa: N802  # lm-eval's name.
        tokenizer.pad_token = tokenizer.eos_token
        model.train()
        return (model, batch_size)

    def simple_evaluate(self, **given):
        if self.fails:
            raise self.fails
        self.given = given
        return FOUND


def test_model_and_tokenizer_stay_as_they_were(monkeypatch):
    stub = Stub()
    monkeypatch.setattr(ours, "imported", lambda *_: stub)
    options = BenchmarkOptions(lm_eval="one", lm_eval_limit=7, lm_eval_template=True)
    model, tokenizer, told = tiny_model(), tiny_tokenizer(), []
    before = deepcopy(tokenizer.special_tokens_map)
    tasks = BenchmarkTasks(options, ("one",), "manager")
    found = tasks.measure(model, tokenizer, 3, lambda *step: told.append(step))
    assert tokenizer.special_tokens_map == before
    assert not model.training
    assert (found.tool, found.limit, found.chat_template) == ("lm-eval 9", 7, True)
    given = {name: stub.given[name] for name in ("tasks", "limit", "apply_chat_template")}
    assert given == {"tasks": ["one"], "limit": 7, "apply_chat_template": True}
    assert stub.given["model"] == (model, 3)
    assert told == [("lm-eval", 0, 1), ("lm-eval", 1, 1)]
    monkeypatch.setattr(ours, "imported", lambda *_: Stub(ValueError("two\nlines")))
    with pytest.raises(RunError, match="lm-eval failed: two lines"):
        tasks.measure(model, tokenizer, 3, lambda *_: None)


def test_without_lm_eval_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "lm_eval.tasks", None)
    with pytest.raises(ConfigError, match=r"pip install 'holdfast\[lm-eval\]'"):
        benchmark_tasks(BenchmarkOptions(lm_eval="arc_easy"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"lm_eval": " , "}, "names no task"),
        ({"lm_eval": "a", "lm_eval_shots": -1}, "`lm_eval_shots=-1`: give 0 or more"),
        ({"lm_eval_limit": 3}, "`lm_eval_limit` says how tasks are asked: add `lm_eval=TASK,...`"),
        ({"lm_eval_template": True}, "`lm_eval_template` says"),
        ({"lm_eval": "a", "lm_eval_path": "missing"}, "`lm_eval_path=missing`: is no folder"),
    ],
)
def test_options_are_checked_before_anything_is_loaded(given, said):
    if "lm_eval_path" in given:
        given = {**given, "lm_eval_path": __import__("pathlib").Path(given["lm_eval_path"])}
    with pytest.raises(ConfigError, match=said):
        benchmark_tasks(BenchmarkOptions(**given))


def test_an_unknown_task_is_one_line(toy, monkeypatch):
    stub = SimpleNamespace(TaskManager=lambda **_: SimpleNamespace(all_tasks=["arc", "toy_words"]))
    monkeypatch.setattr(ours, "imported", lambda *_: stub)
    for given, said in (
        ({"lm_eval": "toy_wods", "lm_eval_path": toy}, r"'toy_wods' .*, nor in .* 'toy_words'\?"),
        ({"lm_eval": "arc,zzz"}, "no task 'zzz' in lm-eval. `lm-eval ls tasks` lists them"),
    ):
        with pytest.raises(ConfigError, match=said):
            benchmark_tasks(BenchmarkOptions(**given))


@pytest.mark.slow
def test_missing_questions_are_one_line(tmp_path):
    broken = toy_task(tmp_path / "broken")
    (broken / "rows.jsonl").unlink()
    with pytest.raises(DataError, match="nothing is asked of the hub"):
        benchmark_tasks(BenchmarkOptions(lm_eval="toy_words", lm_eval_path=broken))


def test_only_tasks_without_a_folder_ask_the_hub(toy):
    assert BenchmarkOptions(lm_eval="a").asks_hub
    assert not BenchmarkOptions(lm_eval="a", lm_eval_path=toy).asks_hub
    assert not BenchmarkOptions().asks_hub


def test_a_result_without_it_is_written_as_before():
    result = RunResult.of("evaluate", [])
    assert "benchmarks" not in json.loads(result.model_dump_json())


def test_the_figures_are_printed_where_nothing_else_was_measured(capsys):
    """docs/integrations.md: without --output the terminal is all there is, and it was empty."""
    scores = [BenchmarkScore(task="toy_words", metric="acc", value=0.375, stderr=0.125, n=8)]
    found = Benchmarks(tool="lm-eval 0.4.13", scores=scores)
    arms = [Arm.of("before", [SeedRun.of(0)])]
    print_result(RunResult.of("evaluate", arms).model_copy(update={"benchmarks": found}))
    told = capsys.readouterr().out.split()
    assert told[-4:] == ["acc", "0.375", "0.125", "8"]
    assert "before" not in told  # No row of dashes of a model that nobody asked.
