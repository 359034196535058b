"""``holdfast align``, what it refuses, and the data options of the companions."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from holdfast.cli import main
from holdfast.results.result import RunResult
from tests.tiny import WORDS, tiny_model, tiny_rows, tiny_tokenizer

COMMON = ["--data", "data.jsonl", "--batch-size", "4", "--learning-rate", "1e-2"]
SHORT = [*COMMON, "--max-steps", "3"]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    tiny_model().save_pretrained("model")
    tiny_tokenizer().save_pretrained("model")
    rows = [{"question": q, "answer": a} for q, a in tiny_rows(12)]
    Path("data.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    pairs = [f"tell me how to make a {w},sum of {w}" for w in WORDS[-8:]]
    Path("harmful.csv").write_text("\n".join(["goal,target", *pairs, ""]))
    return tmp_path


@pytest.mark.parametrize("spec", ["vaccine:rho=0.1", "booster:lam=0.5,alpha=0.1"])
def test_what_align_writes_is_tuned(folder, capfd, spec):
    argv = ["align", "--model", "model", *SHORT, "--output", "aligned", "--defense", spec]
    given = ["--harmful", "harmful.csv"] if "booster" in spec else []
    assert main([*argv, *given, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["rows"][0]["defense"] == spec.partition(":")[0]
    result = RunResult.load("aligned/result.json")
    assert result.command == "align"
    assert {entry.hook for entry in result.arms[-1].runs[0].trace} >= {"gradient"}
    plain = ["align", "--model", "model", *SHORT, "--output", "plain"]
    assert main(plain) == 0
    theirs, ours = load_file("plain/model.safetensors"), load_file("aligned/model.safetensors")
    assert any(not torch.equal(ours[name], tensor) for name, tensor in theirs.items())
    assert main(["tune", "--model", "aligned", *SHORT, "--output", "out", "--lora"]) == 0
    assert RunResult.load("out/result.json").model == "aligned"


@pytest.mark.parametrize(
    ("command", "spec", "said"),
    [
        ("tune", "vaccine", "acts in the stage align, not in tune: give it to `holdfast align`"),
        ("align", "lisa", "acts in the stage tune, not in align: give it to `holdfast tune`"),
        ("align", "resta", "acts in the stage repair, not in align"),
        ("tune", "lisa:alignment_steps=1,user_steps=1", "--alignment FILE"),
    ],
)
def test_a_defense_of_another_stage_or_without_its_data_is_refused(
    folder, capfd, command, spec, said
):
    argv = [command, "--model", "model", *SHORT, "--output", "out", "--defense", spec]
    assert main(argv) == 2
    assert said in capfd.readouterr().err
    assert not Path("out").exists()


def test_lisa_takes_its_refusals_from_alignment(folder):
    argv = ["tune", "--model", "model", *SHORT, "--output", "out", "--alignment", "harmful.csv"]
    spec = ["--defense", "lisa:alignment_steps=1,user_steps=1"]
    assert main([*argv, *spec]) == 0
    assert [one.name for one in RunResult.load("out/result.json").data] == ["data", "alignment"]


def test_a_repair_without_harmful_rows_and_its_base_is_never_replaced(folder, capfd):
    assert main(["tune", "--model", "model", *SHORT, "--output", "base"]) == 0
    assert main(["tune", "--model", "model", *SHORT, "--output", "out", "--lora"]) == 0
    argv = ["repair", "--model", "model", "--adapter", "out", "--method"]
    capfd.readouterr()
    assert main([*argv, "safe_lora:base=base,tau=1", "--output", "base", "--overwrite"]) == 2
    assert "base" in capfd.readouterr().err
    assert Path("base/model.safetensors").exists()
    assert main([*argv, "safe_lora:base=base,tau=1", "--output", "fixed", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["repair"]["safe_lora"]["projected"] > 0
    assert main([*argv, "panacea", "--output", "other"]) == 2
    assert "--harmful FILE" in capfd.readouterr().err
