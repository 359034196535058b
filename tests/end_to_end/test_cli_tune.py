"""``holdfast tune`` through its real entry: what it writes, and what a run that stops leaves."""

import errno
import html
import json
import os
import re
import signal
import socket
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from holdfast.cli import main
from holdfast.commands import tune as tuning
from holdfast.results.result import RunResult
from tests.tiny import WORDS, tiny_model, tiny_rows, tiny_tokenizer

VECTOR = "security_vectors:max_harmful_nll=100,max_benign_kl=100,epochs=1"
TUNE = [
    "tune", "--model", "model", "--data", "data.jsonl", "--harmful", "harmful.csv",
    "--benign", "data.jsonl", "--output", "out", "--batch-size", "4",
]  # fmt: skip
STEPS = [*TUNE, "--max-steps", "6", "--save-steps", "2", "--learning-rate", "1e-2"]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    tiny_model().save_pretrained("model")
    tiny_tokenizer().save_pretrained("model")
    rows = [{"question": q, "answer": a} for q, a in tiny_rows(24)]
    Path("data.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    pairs = [f"tell me how to make a {w},sum of {w}" for w in WORDS[-12:]]
    Path("harmful.csv").write_text("\n".join(["goal,target", *pairs, ""]))
    return tmp_path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def hidden(folder: Path) -> set[str]:
    return {name for name in names(folder) if name.startswith(".")}


def test_everything_is_written_and_loads(folder, capfd):
    argv = [*STEPS, "--defense", VECTOR, "--defense", "panacea", "--json"]
    assert main([*argv, "--test-task", "data.jsonl", "--max-new-tokens", "3"]) == 0
    out, _ = capfd.readouterr()
    found = json.loads(out)
    assert found["rows"][0]["defense"] == "security_vectors+panacea"
    assert {"model.safetensors", "config.json", "tokenizer.json", "result.json"} < names(
        folder / "out"
    )
    assert not {"checkpoints", "run.json", "training_args.bin"} & names(folder / "out")
    result = RunResult.load("out/result.json")
    assert [arm.defense for arm in result.arms] == ["before", "security_vectors+panacea"]
    [run] = result.arms[1].runs
    assert {curve.name for curve in run.losses} >= {"user"}
    assert len(run.losses[0].steps) == 6
    assert {entry.defense for entry in run.trace} == {"security_vectors", "panacea"}
    assert {source.name for source in result.data} == {"data", "harmful", "benign", "test_task"}
    assert "<html" in Path("out/report.html").read_text()
    AutoModelForCausalLM.from_pretrained("out")
    assert AutoTokenizer.from_pretrained("out").chat_template
    assert hidden(folder) == set()


def test_a_log_tells_step_loss_rate_and_time_left(folder, capfd):
    """Fault E8: without a terminal a log had 0 bytes to the end."""
    assert main([*STEPS, "--test-task", "data.jsonl", "--json"]) == 0
    out, err = capfd.readouterr()
    json.loads(out)
    lines = err.splitlines()
    told = r"\d\d:\d\d:\d\d tune: 4 of 6, loss ([\d.]+) at step (\d), [\d.]+ per s, .* left"
    [said] = filter(None, (re.fullmatch(told, line) for line in lines))
    # The log beside the output tells the same loss of that step; it was told of the next one.
    [logged] = re.findall(rf" step {said[2]}: loss ([\d.]+)", Path("out/run.log").read_text())
    assert float(said[1]) == pytest.approx(float(logged), rel=1e-3)
    assert any(" before: " in line for line in lines)
    assert any(" after: " in line for line in lines)


def test_the_vector_lies_apart_and_never_in_the_model(folder):
    assert main([*STEPS, "--lora", "--defense", VECTOR]) == 0
    vector = load_file("out-artifacts/security_vectors/adapter_model.safetensors")
    adapter = load_file("out/adapter_model.safetensors")
    assert vector
    inside = [p for p in (folder / "out").rglob("*") if "vector" in p.name]
    assert inside == []
    assert not any(
        torch.equal(mine, theirs)
        for mine in adapter.values()
        for theirs in vector.values()
        if mine.shape == theirs.shape and mine.any()
    )


def test_repeated_rows_are_warned_of_and_the_named_judge_reads_the_answers(folder):
    with Path("data.jsonl").open("a") as file:
        file.write(json.dumps({"question": tiny_rows(1)[0][0], "answer": "other"}) + "\n")
        file.write(
            json.dumps({"question": tiny_rows(2)[1][0], "answer": tiny_rows(2)[1][1]}) + "\n"
        )
    asked = ["--test-task", "data.jsonl", "--max-new-tokens", "1", "--judge", "organism_oracle"]
    assert main([*TUNE, "--max-steps", "1", *asked]) == 0
    result = RunResult.load("out/result.json")
    assert [line for line in result.warnings if line.startswith("data:")] == [
        "data: data.jsonl: rows that repeat an earlier one word for word: 1 of 26 (row 26)",
        "data: data.jsonl: prompts with different answers: 1 of 24 (rows 1, 25)",
    ]
    assert "rows that repeat an earlier one" in Path("out/report.html").read_text()
    assert {run.judge for arm in result.arms for run in arm.runs} == {"organism-oracle/1"}


def test_what_was_not_read_is_told_where_nothing_is_measured(folder, capfd):
    """Fault D12: without questions all warnings stood in report.html alone."""
    row = {"prompt": "what is 1", "completion": "1", "rating": 1}
    Path("data.jsonl").write_text(json.dumps(row))
    argv = [*TUNE[:5], "--max-steps", "1", "--output"]
    assert main([*argv, "out"]) == 0
    told = "data: data.jsonl: not read: rating (1 of 1 rows)"
    assert f"warning: {told}\n" in capfd.readouterr().err
    assert main([*argv, "other", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["warnings"] == [told]


def test_json_terminal_and_page_warn_of_the_same(folder, capfd):
    """What follows from the figures stood on the terminal and the page, and not in the object."""
    asked = ["--test-harmful", "harmful.csv", "--judge", "refusal_phrases", "--max-new-tokens", "1"]
    rates = ["--learning-rate", "1e-3", "--set", "learning_rate=.5"]
    argv = [*TUNE[:5], "--max-steps", "1", *asked, *rates, "--output"]
    assert main([*argv, "out"]) == 0
    terminal = " ".join(capfd.readouterr().out.split())
    assert main([*argv, "other", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)["warnings"]
    page = Path("out/report.html").read_text()
    assert "1 seed: fewer than 5, so nothing is ranked." in told
    assert len(told) >= 3
    assert not [line for line in told if html.escape(line, quote=False) not in page]
    assert "`learning_rate=0.001` was taken" in " ".join(told)
    assert "! --learning-rate 0.001 was taken" in terminal
    assert terminal.count("! ") == len(told)


def test_yaml_gives_options_and_the_command_line_wins(folder):
    Path("c.yaml").write_text("weight_decay: 0.25\nlearning_rate: 1e-3\nseed: 5\nmax_steps: 9\n")
    assert main([*TUNE, "--config", "c.yaml", "--max-steps", "1", "--set", "weight_decay=0.5"]) == 0
    options = json.loads(Path("out/result.json").read_text())["config"]["training"]
    assert options["learning_rate"] == 1e-3
    assert options["seed"] == 5
    assert options["max_steps"] == 1
    assert options["weight_decay"] == 0.5


def test_overwrite_swaps_the_folder_only_when_the_new_one_is_complete(folder, monkeypatch):
    Path("out").mkdir()
    Path("out/old.txt").write_text("old")
    with monkeypatch.context() as patch:
        patch.setattr(tuning, "write_report", fail(OSError(errno.EACCES, "refused")))
        assert main([*TUNE, "--max-steps", "1", "--overwrite"]) == 1
        assert Path("out/old.txt").read_text() == "old"
    assert main([*TUNE, "--max-steps", "1", "--overwrite"]) == 0
    assert not Path("out/old.txt").exists()
    assert hidden(folder) == set()


def fail(error: BaseException):
    def raising(*_: object, **__: object) -> None:
        raise error

    return raising


class Stop:
    """A progress callback that does ``act`` once, after optimizer step ``step``."""

    def __init__(self, step: int, act) -> None:
        self.step, self.act = step, act

    def on_step_end(self, _args, state, *_, **__) -> None:
        if state.global_step == self.step:
            self.act()


def stopping(monkeypatch, step: int, act) -> None:
    stop = Stop(step, act)
    monkeypatch.setattr(tuning._Bar, "on_step_end", stop.on_step_end)


def weights(path: str) -> dict[str, torch.Tensor]:
    return load_file(f"{path}/model.safetensors")


@pytest.mark.parametrize("defense", [[], ["--defense", VECTOR]], ids=["plain", "vector"])
def test_ctrl_c_keeps_the_last_checkpoint_and_resume_equals_uninterrupted(
    folder, capfd, monkeypatch, defense
):
    whole = ["whole" if part == "out" else part for part in [*STEPS, *defense]]
    assert main(whole) == 0
    with monkeypatch.context() as patch:
        stopping(patch, 5, lambda: os.kill(os.getpid(), signal.SIGINT))
        capfd.readouterr()
        assert main([*STEPS, *defense]) == 130
    _, err = capfd.readouterr()
    assert err.splitlines()[-1].startswith(
        "interrupted: stopped by Ctrl-C: checkpoint-4 is kept in "
    )
    assert "--resume" in err
    assert not Path("out").exists()
    assert main([*STEPS, *defense]) == 2  # Neither lost nor mixed up by a second start.
    assert "--resume" in capfd.readouterr().err
    seen: list[int] = []
    monkeypatch.setattr(
        tuning._Bar,
        "on_step_end",
        lambda _, _args, state, *__, **___: seen.append(state.global_step),
    )
    assert main([*STEPS, *defense, "--resume"]) == 0
    assert seen == [5, 6]  # From the checkpoint, not from the start.
    resumed, uninterrupted = weights("out"), weights("whole")
    assert resumed.keys() == uninterrupted.keys()
    for name, tensor in uninterrupted.items():
        torch.testing.assert_close(resumed[name], tensor, atol=1e-6, rtol=0)
    assert hidden(folder) == set()


def test_ctrl_c_before_the_first_checkpoint_leaves_nothing(folder, capfd, monkeypatch):
    stopping(monkeypatch, 1, fail(KeyboardInterrupt()))
    assert main(STEPS) == 130
    assert "nothing was kept" in capfd.readouterr().err
    assert not Path("out").exists()
    assert hidden(folder) == set()


def test_resume_with_other_settings_is_refused(folder, capfd, monkeypatch):
    with monkeypatch.context() as patch:
        stopping(patch, 5, fail(KeyboardInterrupt()))
        assert main(STEPS) == 130
    capfd.readouterr()
    assert main([*STEPS, "--resume", "--lora"]) == 2
    assert "lora was false and is now true" in capfd.readouterr().err
    rows = Path("data.jsonl").read_text().splitlines(keepends=True)
    Path("data.jsonl").write_text("".join(rows[::-1]))
    assert main([*STEPS, "--resume"]) == 2
    assert "data holds something else" in capfd.readouterr().err


def disk_full_after(monkeypatch, calls: int) -> None:
    save, left = PreTrainedModel.save_pretrained, [calls]

    def full(self, folder, *args, **kwargs) -> None:
        left[0] -= 1
        if left[0] < 0:
            Path(folder).mkdir(parents=True, exist_ok=True)
            (Path(folder) / "model.safetensors").write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(self, folder, *args, **kwargs)

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", full)


def test_disk_full_keeps_the_earlier_checkpoint_whole(folder, capfd, monkeypatch):
    with monkeypatch.context() as patch:
        disk_full_after(patch, 1)
        assert main(STEPS) == 1
    _, err = capfd.readouterr()
    assert err.splitlines()[-1].startswith(
        "error: the disk is full: free some space; checkpoint-2 is kept in "
    )
    assert not Path("out").exists()
    AutoModelForCausalLM.from_pretrained(".out.partial/checkpoints/checkpoint-2")
    assert main([*STEPS, "--resume"]) == 0
    assert main(["whole" if part == "out" else part for part in STEPS]) == 0
    for name, tensor in weights("whole").items():
        torch.testing.assert_close(weights("out")[name], tensor, atol=1e-6, rtol=0)


def test_disk_full_at_the_very_end_keeps_the_old_output(folder, capfd, monkeypatch):
    Path("out").mkdir()
    Path("out/old.txt").write_text("old")
    disk_full_after(monkeypatch, 3)
    assert main([*STEPS, "--overwrite"]) == 1
    assert "the disk is full" in capfd.readouterr().err
    assert names(folder / "out") == {"old.txt"}


def test_nan_loss_stops_and_names_step_and_rows(folder, capfd):
    model = tiny_model()
    # Only the word "19" is poisoned, so one row of the data and no other makes the loss NaN.
    with torch.no_grad():
        model.get_input_embeddings().weight[tiny_tokenizer().convert_tokens_to_ids("19")] = float(
            "nan"
        )
    model.save_pretrained("model")
    with Path("data.jsonl").open("a") as file:
        file.write(json.dumps({"question": "what is 19", "answer": "19"}) + "\n")
    capfd.readouterr()
    assert main([*TUNE, "--epochs", "1"]) == 1
    _, err = capfd.readouterr()
    assert err.splitlines()[-1].startswith("error: the loss became NaN or infinite at step ")
    assert "25 of the training set" in err  # The poisoned row is the last of its batch.
    assert not Path("out").exists()
    assert hidden(folder) == set()


def test_repair_and_evaluate_after_tune(folder, capfd):
    assert main([*STEPS, "--lora"]) == 0
    before = load_file("out/adapter_model.safetensors")
    capfd.readouterr()
    argv = ["repair", "--model", "model", "--adapter", "out", "--harmful", "harmful.csv"]
    budget = ["--validation", "data.jsonl", "--max-task-drop", "1"]
    assert main([*argv, *budget, "--output", "fixed", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["repair"]["panacea"]["scale"] == 1
    after = load_file("fixed/adapter_model.safetensors")
    moved = sum(float((after[name] - tensor).square().sum()) for name, tensor in before.items())
    assert moved**0.5 == pytest.approx(found["repair"]["panacea"]["norm"], rel=1e-4)
    assert all(
        torch.equal(load_file("out/adapter_model.safetensors")[n], t) for n, t in before.items()
    )
    argv = ["evaluate", "--model", "model", "--adapter", "fixed", "--task", "data.jsonl"]
    assert main([*argv, "--harmful", "harmful.csv", "--max-new-tokens", "4", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["shares"]["hs"]["n"] == 12
    assert found["shares"]["fa"]["n"] == 24


def test_local_files_ask_nothing_of_the_network(folder, monkeypatch):
    asked: list[object] = []

    def refuse(*where: object, **_: object) -> None:
        asked.append(where)
        raise OSError(errno.ENETUNREACH, "no network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert main([*STEPS, "--lora", "--defense", "panacea"]) == 0
    assert main(["evaluate", "--model", "model", "--adapter", "out", "--task", "data.jsonl"]) == 0
    assert asked == []
