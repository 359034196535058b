"""``screen``, then ``tune --screen``: as if the rows were taken out by hand, and recorded."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from holdfast.cli import main
from holdfast.results.result import RunResult
from tests.tiny import tiny_model, tiny_rows, tiny_tokenizer

RUN = ["tune", "--model", "model", "--batch-size", "4", "--max-steps", "2", "--learning-rate",
       "0.01", "--seed", "3", "--overwrite"]  # fmt: skip
SCREEN = ["screen", "data.jsonl", "--model", "model", "--out", "found", "--overwrite"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOLDFAST_DATA", raising=False)
    tiny_model().save_pretrained("model")
    tiny_tokenizer().save_pretrained("model")
    pairs = [*tiny_rows(10)]
    pairs[2:2] = [pairs[0], ("what is the sum", "the sum 4012 8888 8888 1881 is 2")]
    write("data.jsonl", pairs)
    write("by_hand.jsonl", pairs[:2] + pairs[3:])
    return tmp_path


def write(path, pairs):
    rows = [json.dumps({"prompt": q, "completion": a}) + "\n" for q, a in pairs]
    Path(path).write_text("".join(rows))


def tuned(data, output, *more):
    assert main([*RUN, "--data", data, "--output", output, *more]) == 0
    return load_file(f"{output}/model.safetensors")


def same(one, two):
    return all(torch.equal(one[name], two[name]) for name in one)


def test_a_run_by_a_screening_is_the_run_without_the_rows(folder, capsys):
    assert main(SCREEN) == 0
    found = json.loads(Path("found/screen.json").read_text())
    assert [(r["row"], r["action"]) for r in found["screened"] if r["action"] != "review"] == [
        (3, "drop"), (4, "mask"),
    ]  # fmt: skip
    assert found["max_length"] == 128
    masked = tuned("data.jsonl", "masked", "--screen", "found/screen.json")
    use = RunResult.load("masked/result.json").data[0].screened
    assert (use.rows, use.dropped, use.masked) == (12, 1, 1)
    for row in found["screened"]:
        row["action"] = "drop" if row["row"] == 3 else "keep"
    Path("edited.json").write_text(json.dumps(found))
    dropped = tuned("data.jsonl", "dropped", "--screen", "edited.json")
    assert same(dropped, tuned("by_hand.jsonl", "by_hand"))
    assert not same(dropped, masked)
    capsys.readouterr()


def test_the_screening_of_other_data_stops_before_anything(folder, capsys):
    assert main(SCREEN) == 0
    given = ["--data", "by_hand.jsonl", "--output", "out", "--screen", "found/screen.json"]
    assert main([*RUN, *given]) == 2
    assert (
        "--screen found/screen.json: is of other data than by_hand.jsonl" in capsys.readouterr().err
    )
    assert not Path("out").exists()


def test_a_seed_from_anywhere_draws_the_control_and_zero_is_a_seed(folder):
    assert main(SCREEN) == 0
    control = ["--screen", "found/screen.json", "--screen-control"]
    Path("seven.yaml").write_text("seed: 7\n")
    rows = {}
    for name, how in {
        "flag": ["--seed", "7"], "set": ["--set", "seed=7"], "file": ["--config", "seven.yaml"],
        "zero": ["--config", "seven.yaml", "--seed", "0"], "none": [],
    }.items():  # fmt: skip
        run = [one for one in RUN if one not in ("--seed", "3")]
        assert main([*run, "--data", "data.jsonl", "--output", name, *control, *how]) == 0
        found = RunResult.load(f"{name}/result.json")
        rows[name] = (found.seeds, found.config["seed"], load_file(f"{name}/model.safetensors"))
    for name in ("flag", "set", "file"):
        assert rows[name][:2] == ([7], 7)
        assert same(rows[name][2], rows["flag"][2])
    for name in ("zero", "none"):
        assert rows[name][:2] == ([0], 0)
        assert same(rows[name][2], rows["none"][2])
    assert not same(rows["zero"][2], rows["flag"][2])
