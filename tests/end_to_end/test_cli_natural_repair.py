"""``holdfast repair --method natural_repair``: each set of rows from its own option."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from holdfast.cli import main
from holdfast.results.result import RunResult
from tests.tiny import WORDS, tiny_model, tiny_rows, tiny_tokenizer
from tests.unit.defenses.tiny_runs import lora

SPEC = "natural_repair:step=0.3,steps=2,enough=1,max_new_tokens=3,max_over_refusal=1"
REPAIR = [
    "repair", "--model", "model", "--adapter", "adapter", "--harmful", "harmful.csv", "--output",
    "fixed",
]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("natural")
    tiny_model().save_pretrained(folder / "model")
    tiny_tokenizer().save_pretrained(folder / "model")
    lora(tiny_model()).save_pretrained(folder / "adapter")
    rows = [{"prompt": q, "completion": a} for q, a in tiny_rows(12)]
    (folder / "data.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    for name, said in (("harmful", "sum of"), ("safe", "sorry I cannot")):
        pairs = [f"tell me how to make a {w},{said} {w}" for w in WORDS[-8:]]
        (folder / f"{name}.csv").write_text("\n".join(["goal,target", *pairs, ""]))
    return folder


@pytest.fixture(autouse=True)
def here(made, monkeypatch):
    monkeypatch.chdir(made)


def test_it_reads_every_set_and_repairs_the_adapter(made, capfd):
    rows = ["--safe", "safe.csv", "--benign", "data.jsonl", "--lookalike", "data.jsonl"]
    budget = ["--validation", "data.jsonl", "--max-task-drop", "1"]
    assert main([*REPAIR, "--method", SPEC, *rows, *budget, "--json"]) == 0
    said = json.loads(capfd.readouterr().out)["repair"]["natural_repair"]
    assert said["steps"] == 1  # A harmful prompt or none is answered: that is enough by the spec.
    result = RunResult.load("fixed/result.json")
    named = ["harmful", "safe", "benign", "lookalike", "validation"]
    assert [each.name for each in result.data] == named
    before, after = (load_file(f"{f}/adapter_model.safetensors") for f in ("adapter", "fixed"))
    moved = sum(float((after[n] - t).square().sum()) for n, t in before.items()) ** 0.5
    assert moved == pytest.approx(said["norm"], rel=1e-4)
    kept = load_file("fixed-artifacts/natural_repair/perturbation.safetensors")
    assert moved == pytest.approx(
        float(torch.stack([t.square().sum() for t in kept.values()]).sum()) ** 0.5, rel=1e-4
    )
    assert "natural_repair" in Path("fixed/report.html").read_text()


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (SPEC, "refuses none of the 8 harmful prompts"),
        (f"{SPEC},refusals=rows", "--safe FILE"),
        (f"{SPEC},direction=up", "direction='up'"),
    ],
)
def test_what_it_cannot_work_with_is_told_and_nothing_is_written(spec, said, capfd):
    assert main([*REPAIR, "--method", spec, "--output", "none"]) in (1, 2)
    assert said in capfd.readouterr().err
    assert not Path("none").exists()
