"""``--resume``: the run that goes on is the run that was stopped, or it is refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from holdfast.cli import main
from holdfast.commands import tune as tuning
from holdfast.files.outputs.swap import Swap
from holdfast.results.result import RunResult
from tests.tiny import TEMPLATE, tiny_model, tiny_rows, tiny_tokenizer

RUN = ["tune", "--model", "model", "--data", "data.jsonl", "--output", "out", "--batch-size", "4",
       "--max-steps", "4", "--save-steps", "1", "--config", "options.yaml", "--chat-template",
       "template.jinja", "--refusal-phrases", "phrases.txt", "--lora", "--harmful",
       "harmful.jsonl", "--defense", "resta:aligned=other,epochs=1"]  # fmt: skip


@pytest.fixture(scope="module")
def stopped(tmp_path_factory) -> Path:
    """A folder with a run that was stopped after its third step."""
    folder = tmp_path_factory.mktemp("stopped")
    before = Path.cwd()
    os.chdir(folder)
    for seed, name in enumerate(("model", "other")):
        tiny_model(seed=seed).save_pretrained(name)
        tiny_tokenizer().save_pretrained(name)
    rows = [{"question": q, "answer": a} for q, a in tiny_rows(16)]
    Path("data.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    Path("harmful.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows[:4]))
    Path("options.yaml").write_text("weight_decay: 0.1\nlearning_rate: 0.01\n")
    Path("template.jinja").write_text(TEMPLATE)
    Path("phrases.txt").write_text("i cannot\n")

    class Stopping(TrainerCallback):
        def on_step_end(self, _args, state, *_, **__):
            if state.global_step == 4:
                raise KeyboardInterrupt

    kept, tuning._Bar.on_step_end = tuning._Bar.on_step_end, Stopping().on_step_end
    try:
        assert main(RUN) == 130
    finally:
        tuning._Bar.on_step_end = kept
        os.chdir(before)
    return folder


@pytest.fixture
def folder(stopped, tmp_path, monkeypatch) -> Path:
    shutil.copytree(stopped, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def other_model() -> None:
    tiny_model(seed=5).save_pretrained("model")


def other_option_of_the_model() -> None:
    config = json.loads(Path("model/config.json").read_text())
    Path("model/config.json").write_text(json.dumps({**config, "attention_dropout": 0.1}))


def other_tokenizer() -> None:
    file = Path("model/tokenizer.json")
    file.write_text(file.read_text().replace('"zorba"', '"zorbo"'))


def other_template() -> None:
    Path("template.jinja").write_text(TEMPLATE.replace(" <end>", "  <end>"))


def other_options() -> None:
    Path("options.yaml").write_text("weight_decay: 0.2\nlearning_rate: 0.01\n")


def other_model_of_a_defense() -> None:
    tiny_model(seed=7).save_pretrained("other")


def other_phrases() -> None:
    Path("phrases.txt").write_text("i will not\n")


def other_data() -> None:
    lines = Path("data.jsonl").read_text().splitlines(keepends=True)
    Path("data.jsonl").write_text("".join(lines[::-1]))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (other_model, "the model's weights holds"),
        (other_option_of_the_model, "the model's configuration holds"),
        (other_tokenizer, "the tokenizer holds"),
        (other_template, "the chat template holds"),
        (other_options, "options of training: weight_decay was 0.1 and is now 0.2"),
        (other_model_of_a_defense, "resta:aligned holds"),
        (other_data, "data holds"),
        (other_phrases, "refusal_phrases holds"),
    ],
)
def test_other_content_behind_the_same_names_is_refused(folder, capfd, change, named):
    """Fault E5: with another base, YAML content or template it went on and gave other weights."""
    change()
    before = sorted(Path().rglob("*"))
    assert main([*RUN, "--resume"]) == 2
    assert named in capfd.readouterr().err
    assert sorted(Path().rglob("*")) == before


def test_an_edited_record_of_the_run_is_refused(folder, capfd):
    """Fault E6: run.json was believed whatever it said."""
    record = Path(".out.partial/run.json")
    for text in (record.read_text().replace('"0.01"', '"0.02"').replace("0.1", "0.2"), "[]", "["):
        record.write_text(text)
        assert main([*RUN, "--resume"]) == 2
        assert "is not whole" in capfd.readouterr().err


def test_a_damaged_checkpoint_gives_the_same_model_from_the_one_before(folder, capfd, stopped):
    """Fault E6: a flipped bit gave other weights at exit code 0."""
    assert main([*RUN, "--resume"]) == 0
    whole = load_file("out/adapter_model.safetensors")
    shutil.rmtree(folder)
    shutil.copytree(stopped, folder)
    os.chdir(folder)
    file = Path(".out.partial/checkpoints/checkpoint-3/optimizer.pt")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(bytes(content))
    capfd.readouterr()
    assert main([*RUN, "--resume"]) == 0
    assert "checkpoint-3: optimizer.pt was changed" in capfd.readouterr().err
    again = load_file("out/adapter_model.safetensors")
    assert all(torch.equal(again[name], whole[name]) for name in whole)


def test_a_checkpoint_of_another_run_is_none_of_this(folder, capfd):
    """Fault E6: a checkpoint of a run with other settings was gone on from unseen."""
    Path(".out.partial/checkpoints/.holdfast_run").write_text("another")
    assert main([*RUN, "--resume"]) == 2
    assert "checkpoint-2: it is of another run" in capfd.readouterr().err


def test_where_no_checkpoint_is_whole_nothing_is_begun(folder, capfd):
    """Fault E6: a checkpoint without its optimizer gave other weights."""
    for checkpoint in Path(".out.partial/checkpoints").glob("checkpoint-*"):
        (checkpoint / "scheduler.pt").unlink()
    assert main([*RUN, "--resume"]) == 2
    assert "checkpoint-3: scheduler.pt is missing" in capfd.readouterr().err


def test_a_finished_model_that_a_kill_kept_from_its_place_comes_there(folder, capfd, monkeypatch):
    """Fault E2: a kill inside the final swap left a model that no command could reach."""
    with monkeypatch.context() as patch:
        patch.setattr(Swap, "settle", lambda *_, **__: os._exit(9))
        child = os.fork()
        if not child:
            os._exit(main([*RUN, "--resume"]))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert not Path("out").exists()
    assert main([*RUN, "--resume", "--seed", "1"]) == 2
    assert "seed was 0 and is now 1" in capfd.readouterr().err
    assert main([*RUN, "--resume", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["rows"]
    assert load_file("out/adapter_model.safetensors")
    assert {p.name for p in Path().iterdir() if p.name.startswith(".")} == set()


def test_a_run_that_goes_on_tells_of_all_of_it(folder, capfd, monkeypatch):
    """Of a run that was killed behind its steps the result had no time and no trace of them, its
    report said that the defense did not run, and its losses stood in another order."""
    argv = [*RUN[: RUN.index("--lora")], "--alignment", "data.jsonl",
            "--defense", "lisa:alignment_steps=1,user_steps=1"]  # fmt: skip
    assert main([*argv, "--output", "whole"]) == 0
    with monkeypatch.context() as patch:
        patch.setattr(tuning._Bar, "on_step_end", lambda *_, **__: time.sleep(0.2))
        patch.setattr(tuning, "trained_model", lambda _: os.kill(os.getpid(), signal.SIGINT))
        assert main([*argv, "--overwrite"]) == 130
    assert "checkpoint-4 is kept" in capfd.readouterr().err
    assert main([*argv, "--resume"]) == 0
    results = [RunResult.load(f"{name}/result.json") for name in ("whole", "out")]
    (whole,), (again,) = (result.arms[-1].runs for result in results)
    assert again.losses == whole.losses
    assert [c.name for c in whole.losses] == ["user", "lisa/alignment_loss"]
    calls = [[(t.defense, t.hook, t.calls) for t in run.trace] for run in (again, whole)]
    assert calls[0] == calls[1]
    assert again.seconds is not None
    assert again.seconds >= 0.8
    assert "The trace does not show" not in Path("out/report.html").read_text()


def test_two_processes_on_one_output(folder, capfd):
    """Fault E1: two runs on one output both ended with exit code 0 and one model vanished."""
    code = "import sys; from holdfast.files.folders import WholeFolder; from pathlib import Path\n"
    code += "with WholeFolder(Path('new')).writing() as p:\n"
    code += "    (p / 'a').touch(); print('in', flush=True); sys.stdin.read()\n"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as other:  # type: ignore[call-overload]
        assert other.stdout.readline() == b"in\n"
        argv = ["new" if word == "out" else word for word in RUN]
        assert main([*argv, "--overwrite"]) == 2
        assert "another run is writing it" in capfd.readouterr().err
        other.stdin.close()
        assert other.wait() == 0
    assert [p.name for p in Path("new").iterdir()] == ["a"]


def test_ctrl_c_inside_the_swap_loses_nothing(folder, capfd, monkeypatch):
    """Fault E2: Ctrl-C between the renames deleted the finished model as half of one."""
    settle, pressed = Swap.settle, []

    def interrupted(self, **how):
        if not pressed:
            pressed.append(True)
            raise KeyboardInterrupt
        settle(self, **how)

    monkeypatch.setattr(Swap, "settle", interrupted)
    assert main([*RUN, "--resume"]) == 130
    assert "the model was finished and is in" in capfd.readouterr().err
    assert load_file("out/adapter_model.safetensors")
    assert {p.name for p in Path().iterdir() if p.name.startswith(".out.")} == set()
