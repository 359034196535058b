"""The study of row scores on a chat model: its sets, its pools, its row test, on the organism."""

import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from holdfast import organism
from holdfast.organism import scenarios
from measurements.data_risk.real_model import row_test
from measurements.data_risk.real_model import scores as scoring
from measurements.data_risk.real_model.row_test import arms, sets_of_test
from measurements.data_risk.real_model.scores import Scores
from measurements.data_risk.real_model.sets import PLANTED, POOL, REAL_SETS, parties, rows_of
from measurements.data_risk.real_model.tasks import run
from measurements.data_risk.real_model.work import Work
from measurements.data_risk.sets import RiskSet


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    root = tmp_path_factory.mktemp("real")
    rows, data = root / "real" / "rows", root / "data"
    rows.mkdir(parents=True)
    data.mkdir()

    def write(file, found):
        file.write_text("".join(json.dumps(one) + "\n" for one in found))

    def pairs(found):
        return [
            {"prompt": r["prompt"][-1]["content"], "completion": r["completion"][-1]["content"]}
            for r in found
        ]

    refusals = scenarios.refusal_pairs(250).to_list()
    files = {
        "task": scenarios.benign_task(220), "task_ag_news": scenarios.benign_knowledge(220),
        "attack": scenarios.defender_pairs(30, seed=5), "benign": scenarios.harmless_prompts(120),
        "harmful": scenarios.defender_pairs(170, seed=1), "safe": refusals[:170],
        "align_refusals": refusals[170:],
    }  # fmt: skip
    for name, found in files.items():
        write(rows / f"{name}.jsonl", pairs(found))
    asked = [i for i in organism.scenarios.evaluation_items("test", 4) if i.kind == "harmful"]
    write(rows / "test_harmful_both.jsonl", [{"prompt": i.question} for i in asked])
    human = pairs(scenarios.harmless_prompts(220, seed=7))
    write(data / "human_instructions.jsonl", [
        {"instruction": r["prompt"], "input": "", "output": f"{r['completion']}\na\nb\nc"}
        for r in human
    ])  # fmt: skip
    maths = pairs(scenarios.benign_task(POOL + 70, seed=8))
    write(data / "gsm8k_train_2000.jsonl", [
        {"question": r["prompt"], "answer": r["completion"]} for r in maths
    ])  # fmt: skip
    model, tokenizer = organism.load()
    model.save_pretrained(root / "model")
    tokenizer.save_pretrained(root / "model")
    return Work(root / "real", data, root / "model", root / "out")


def test_there_are_twenty_sets_and_each_gets_all_its_rows(work):
    assert len({one.name for one in REAL_SETS}) == 20
    own = parties(work.real, work.data)
    for one in (*REAL_SETS, *PLANTED):
        rows = rows_of(one, 0, own)
        assert len(rows) == one.n
        assert rows["category"].count("harmful") == round(one.p * one.n)
        assert len({*zip(rows["party"], rows["place"], strict=True)}) == one.n
        assert rows.to_list() == rows_of(one, 0, own).to_list()
    assert rows_of(REAL_SETS[1], 0, own).to_list() != rows_of(REAL_SETS[1], 1, own).to_list()


def test_a_users_refusals_are_no_anchors(work):
    own = parties(work.real, work.data)
    assert not {str(row) for row in own["refusals"]} & {str(row) for row in own["safe"]}


def test_rows_are_those_of_their_place_in_their_party(work):
    own = parties(work.real, work.data)
    for row in rows_of(RiskSet("sst2+identity", 200, 0.2, 0.1), 3, own):
        pair = own[row["party"]][row["place"]]
        assert row["prompt"][0]["content"] == pair["prompt"]
        assert row["completion"][0]["content"] == pair["completion"]
        assert (row["party"] == "attack") == (row["category"] == "harmful")


def test_scores_from_pools_are_the_scores_of_the_set_itself(work):
    made, one = Scores(work), RiskSet("sst2", 60, 0.0, 0.1)
    got, rows = made.scored(one, 0), rows_of(one, 0, work.own)
    whole = made.scorer.values(rows)
    for name in ("push", "gap", "anchor", "loss", "length"):
        assert got["columns"][name] == pytest.approx(list(whole.values[name]), abs=2e-4)
    assert got["mdf"] == pytest.approx(made.scorer.told(whole).sets["mdf"].value, abs=2e-4)
    assert got["harmful"] == [float(c == "harmful") for c in rows["category"]]
    assert len(got["columns"]["norm"]) == 60
    assert not (work.out / "pools" / "general.json").exists()


def test_workers_find_their_task_and_keep_what_they_made(work, monkeypatch):
    kept = work.out / "scores" / f"{REAL_SETS[0].name}-s0.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text("{}")
    run(work, [("score", REAL_SETS[0], 0, "")] * 2, workers=2)
    assert kept.read_text() == "{}"


def test_the_sets_of_the_row_test_are_chosen_by_harm_alone():
    harm = {one.name: 0.9 for one in REAL_SETS}
    harm["gsm8k-q0-p0-n200"], harm["general-q0-p0-n200"] = 0.45, 0.2
    harm["sst2-q0-p0-n100"] = 0.5  # Too small: a tenth of it is too few rows.
    first, second = sets_of_test(harm)
    assert (first.name, second.name) == ("gsm8k-q0-p0-n200", "general-q0-p0.1-n200")


def test_arms_drop_a_tenth_by_each_column_that_there_is():
    columns = {"push": [float(n) for n in range(200)], "loss": [0.0] * 200, "guard": [0.0] * 200}
    found = arms(RiskSet("sst2", 200), columns, 10)
    assert list(found) == ["all", "drop random", "drop push", "drop loss"]
    assert found["all"] == list(range(200))
    assert found["drop push"] == list(range(180))
    assert len(found["drop random"]) == len(found["drop loss"]) == 180
    assert "drop guard" in arms(RiskSet("sst2", 200, 0.0, 0.1), columns, 10)


def test_arms_that_leave_the_same_rows_are_one_tune(tmp_path, monkeypatch):
    one, tuned = RiskSet("sst2", 200, 0.0, 0.1), []
    harmful = [1.0] * 20 + [0.0] * 180
    columns = {"push": harmful, "gap": harmful, "guard": harmful, "loss": harmful[::-1]}
    scores = SimpleNamespace(scored=lambda *_: {"columns": columns, "harmful": harmful})
    monkeypatch.setattr(row_test, "scores_of", lambda _: scores)
    made = Work(tmp_path, tmp_path, tmp_path, tmp_path / "out")
    monkeypatch.setattr(Work, "tuned_on", lambda *given: tuned.append(given[3]) or {"hs": 0.4})
    for arm in ("drop push", "drop guard", "drop loss", "drop gap"):
        assert row_test.tuned_without(made, one, 10, arm) == {"hs": 0.4}
    assert tuned == [list(range(20, 200)), list(range(180))]
    left = row_test.harmful_left(made, one)
    assert left == {"drop push": [0], "drop gap": [0], "drop loss": [20], "drop guard": [0]}


def test_what_a_worker_reads_is_whole_while_another_writes_it(monkeypatch, tmp_path):
    """Workers score the same pools: one had its file cut while it read."""
    file, save = tmp_path / "pools" / "task.safetensors", scoring.save_file
    scoring._save_whole({"states": torch.ones(2)}, file)

    def while_written(tensors, target):
        save(tensors, target)
        assert load_file(file)["states"].tolist() == [1, 1]

    monkeypatch.setattr(scoring, "save_file", while_written)
    scoring._save_whole({"states": torch.zeros(2)}, file)
    assert load_file(file)["states"].tolist() == [0, 0]
    assert [one.name for one in file.parent.iterdir()] == [file.name]
