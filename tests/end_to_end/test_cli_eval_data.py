"""``--eval-data``: measured and never learned, and what is kept of a run is what the user asked."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from holdfast.cli import main
from holdfast.commands import tune as tuning
from holdfast.results.result import RunResult
from tests.tiny import WORDS, tiny_model, tiny_rows, tiny_tokenizer

VECTOR = ["--defense", "security_vectors:max_harmful_nll=100,max_benign_kl=100,epochs=1"]
REPAIR = ["--defense", "panacea"]
RUN = [
    "tune", "--model", "model", "--data", "data.jsonl", "--batch-size", "4", "--lora",
    "--lora-dropout", "0.2", "--learning-rate", "0.1", "--set", "lr_scheduler_type=constant",
    "--set", "use_cpu=true",
]  # fmt: skip
LOOKS = ["--eval-data", "eval.jsonl", "--eval-steps", "1"]
BEST = [*LOOKS, "--save-steps", "1", "--keep-best"]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A model whose evaluation rows have other answers than its data: their loss rises again."""
    folder = tmp_path_factory.mktemp("eval")
    tiny_model().save_pretrained(folder / "model")
    tiny_tokenizer().save_pretrained(folder / "model")
    rows = [{"question": q, "answer": a} for q, a in tiny_rows(24)]
    others = [{"question": q, "answer": "sorry I cannot"} for q, _ in tiny_rows(30)[24:]]
    for name, given in (("data", rows), ("eval", others)):
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in given))
    pairs = [f"tell me how to make a {w},sum of {w}" for w in WORDS[-12:]]
    (folder / "harmful.csv").write_text("\n".join(["goal,target", *pairs, ""]))
    return folder


@pytest.fixture(autouse=True)
def inside(place, monkeypatch) -> None:
    monkeypatch.chdir(place)


def run(name: str, *more: str, steps: int = 8) -> dict[str, torch.Tensor]:
    defended = ["--harmful", "harmful.csv"] if "--defense" in more else []
    defended += ["--benign", "data.jsonl"] if VECTOR[1] in more else []
    argv = [*RUN, *defended, *more, "--output", name, "--max-steps", str(steps), "--overwrite"]
    assert main(argv) == 0
    return load_file(f"{name}/adapter_model.safetensors")


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(t, other[n]) for n, t in one.items())


def curve(name: str, kind: str = "evaluation") -> list[float]:
    [found] = [c for c in RunResult.load(f"{name}/result.json").arms[-1].runs[0].losses
               if c.name == kind]  # fmt: skip
    return [float(value or 0) for value in found.values]


def best_step(values: list[float]) -> int:
    return values.index(min(values)) + 1


def test_rows_that_are_measured_change_no_bit_of_the_run(place):
    assert same(run("plain"), run("looked", *LOOKS))
    values = curve("looked")
    assert len(values) == 8
    result = RunResult.load("looked/result.json")
    assert [source.name for source in result.data] == ["data", "eval_data"]
    assert "evaluation loss, nats per token" in Path("looked/report.html").read_text()


@pytest.mark.parametrize("defense", [[], VECTOR, REPAIR], ids=["plain", "vector", "repair"])
def test_the_best_weights_are_those_of_a_run_that_ends_there(defense):
    """A repair acts on them, and a vector is off when they are measured and when they are kept."""
    found = run("best", *BEST, *defense)
    values = curve("best")
    assert 1 < best_step(values) < 8  # Else this shows nothing.
    step = best_step(values)
    assert same(found, run("short", *defense, steps=step))
    result = RunResult.load("best/result.json")
    assert result.arms[-1].runs[0].step == step
    assert f"the weights are those of step {step}, chosen by eval_loss" in result.warnings[-1]


def test_early_stopping_stops_and_keeps_the_best():
    found = run("early", *LOOKS, "--early-stopping", "2")
    values = curve("early")
    assert len(values) == best_step(values) + 2
    assert same(found, run("short", steps=best_step(values)))
    assert f"stopped at step {len(values)} of 8" in RunResult.load("early/result.json").warnings[-1]


class Killed(TrainerCallback):
    """Stops the process once, at a step's end."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, _args, state, *_, **__) -> None:
        if state.global_step == self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("where", "defense"), [("midway", []), ("at its end", REPAIR)], ids=["plain", "repair"]
)
def test_a_run_that_goes_on_stops_where_it_would_have(monkeypatch, capfd, where, defense):
    """transformers' own counter begins anew, and its loop takes a step after the last one."""
    early = [*LOOKS, "--early-stopping", "2", *defense]
    whole = run("whole", *early)
    losses = curve("whole"), curve("whole", "user")
    with monkeypatch.context() as patch:
        if where == "midway":
            stop = Killed(len(losses[0]))
            patch.setattr(tuning._Bar, "on_step_end", stop.on_step_end)
        else:
            patch.setattr(tuning.TuneTrainer, "_load_best_model", stopped)
        argv = [*RUN, *early, "--output", "on", "--max-steps", "8", "--overwrite"]
        argv += ["--harmful", "harmful.csv"] if defense else []
        assert main(argv) == 130
    assert "--resume" in capfd.readouterr().err
    assert main([*argv, "--resume"]) == 0
    assert same(load_file("on/adapter_model.safetensors"), whole)
    assert (curve("on"), curve("on", "user")) == losses


def stopped(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--eval-steps", "2"], "--eval-steps 2 needs rows to measure: give them with --eval-data"),
        (["--early-stopping", "2"], "--early-stopping 2 needs rows to measure"),
        (["--keep-best"], "--keep-best needs rows to measure"),
        (["--set", "eval_strategy=epoch"], "eval_strategy=epoch needs rows to measure"),
        ([*LOOKS, "--early-stopping", "0"], "--early-stopping 0 is out of range"),
        (["--early-stopping", "0"], "--early-stopping 0 is out of range"),
        ([*BEST, "--set", "metric_for_best_model=los"], "known: loss, mean_token_accuracy, entrop"),
        ([*LOOKS, "--set", "metric_for_best_model=eval_bleu"], "=eval_bleu is not measured on"),
        ([*LOOKS, "--set", "eval_strategy=no"], "eval_strategy=no, and --eval-data is given"),
        ([*LOOKS, "--set", "eval_strategy=epoch"], "eval_strategy=epoch, and --eval-steps 1"),
        ([*BEST, "--set", "save_strategy=epoch"], "save_strategy=epoch: to keep the best weights"),
        ([*BEST, "--eval-steps", "2"], "--save-steps 1 is no multiple of --eval-steps 2"),
        (["--eval-data", "eval.jsonl", "--keep-best", "--save-steps", "2"],
         "--save-steps 2: to keep the best weights a checkpoint is written at each look"),
        ([*BEST, "--set", "greater_is_better=true"], "greater_is_better=true: the lowest loss"),
        (["--eval-data", "none.jsonl"], "none.jsonl: file not found"),
    ],
)  # fmt: skip
def test_options_that_contradict_each_other_are_refused(capfd, more, said):
    assert main([*RUN, "--output", "bad", *more]) == 2
    err = capfd.readouterr().err.replace("`", "")
    assert said in err
    assert len(err.splitlines()) == 1
    assert not Path("bad").exists()
