"""A bench of a model in a folder, with rows and questions in files."""

import csv
import hashlib
import json
import pickle
import re
from collections import Counter
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from holdfast import organism
from holdfast.bench.bench import check_folder, plan, run_bench
from holdfast.bench.cell.packed import sealed
from holdfast.bench.cell.run_cell import read, run_cell
from holdfast.bench.cell.runs import tune
from holdfast.bench.cell.stages import prepared, repaired
from holdfast.bench.dry_run import outlook
from holdfast.bench.subject import files, questions
from holdfast.bench.subject.files import FileSubject
from holdfast.errors import ConfigError, InputError
from holdfast.evaluation import generate
from holdfast.inputs.specs import build_defenses
from holdfast.ops.modules import trainable
from holdfast.organism import scenarios
from holdfast.results.records import SeedRun

SMALL = {"rows": [16], "steps": [2], "seeds": 2, "defender_rows": 10, "benign_rows": 10,
         "validation_rows": 4, "items_per_kind": 3}  # fmt: skip


ROLES = ("task", "attack", "test_harmful", "test_safe", "test_task", "test_useful")
FILES = {role: f"{role}.jsonl" for role in ROLES}


def write(path, rows):
    lines = [json.dumps({"prompt": r["prompt"], "completion": r["completion"]}) for r in rows]
    path.write_text("\n".join(lines))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The organism as any model: a folder, and files of rows and questions."""
    root = tmp_path_factory.mktemp("own")
    model, tokenizer = organism.load()
    for part in (model, tokenizer):
        part.save_pretrained(root / "model")
    rows = {
        "task": scenarios.benign_task(40),
        "attack": scenarios.harmful_mix(20, 1.0),
        "harmful": scenarios.defender_pairs(20),
        "safe": scenarios.refusal_pairs(20),
        "benign": scenarios.harmless_prompts(20),
        "validation": scenarios.harmless_prompts(10, seed=1),
        "align": scenarios.refusal_pairs(20, seed=1),
    }
    for role, examples in rows.items():
        write(root / f"{role}.jsonl", examples)
    items = scenarios.evaluation_items("test", 5, "harmful_mix")
    for kind in ("harmful", "safe", "task", "useful"):
        asked = [
            {
                "prompt": i.prompt,
                "completion": [{"role": "assistant", "content": i.reference or "-"}],
            }
            for i in items
            if i.kind == kind
        ]
        write(root / f"test_{kind}.jsonl", asked)
    return root


def recipe(folder, name="own.yaml", without=(), **changes):
    """Write a recipe beside the files, which it names by paths from its own folder."""
    roles = [path.stem for path in folder.glob("*.jsonl")]
    files = {role: f"{role}.jsonl" for role in roles if role not in without}
    given = {"model": "model", "files": files, "training": {"batch": 8, "max_new_tokens": 12},
             **SMALL, **changes}  # fmt: skip
    (folder / name).write_text(yaml.safe_dump(given))
    return str(folder / name)


def test_a_cell_equals_one_trainer_with_all_defenses(folder, tmp_path):
    specs = ["safe_mixing:share=0.5", "panacea:rho=0.5,max_task_drop=1,batch_size=5"]
    [cell, _] = plan(recipe(folder, defenses=[specs], p=[0.5])).cells
    staged = repaired(prepared(cell, tmp_path), cell.seed)
    defenses = build_defenses(cell.defenses, cell.defender)
    whole = tune(cell.user_rows, defenses, cell.seed, cell.budget, subject=cell.subject)
    left, right = trainable(staged.model), trainable(whole.model)
    assert left.keys() == right.keys()
    assert left
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_the_same_rows_tune_the_folder_as_they_tune_the_organism(folder):
    [cell, _] = plan(recipe(folder, p=[0.5])).cells
    ours = tune(cell.user_rows, (), 0, cell.budget, subject=cell.subject)
    organisms = tune(cell.user_rows, (), 0, cell.budget)
    for name, values in trainable(ours.model).items():
        assert torch.equal(values, trainable(organisms.model)[name])


def test_every_seed_draws_its_own_rows_with_the_exact_share(folder):
    first, second = plan(recipe(folder, p=[0.25])).cells
    attack = {json.dumps(row["prompt"]) for row in first.subject.user_rows("", 20, 1.0, 0)}
    for cell in (first, second):
        asked = Counter(json.dumps(row["prompt"]) in attack for row in cell.user_rows)
        assert asked == {True: 4, False: 12}
        assert len(cell.defender["harmful"]) == 10
        assert len(cell.questions) == 12
    assert first.user_rows["prompt"][:] != second.user_rows["prompt"][:]
    assert first.defender["harmful"][:] != second.defender["harmful"][:]
    assert first.key != second.key


@pytest.mark.slow
def test_the_whole_bench_with_every_kind_of_defense(folder, tmp_path):
    vector = "security_vectors:epochs=1,max_harmful_nll=99,max_benign_kl=99"
    defenses = ["before", "none", vector, "swat", "vaccine:rho=0.1",
                ["safe_mixing", "panacea:rho=0.5,batch_size=5"]]  # fmt: skip
    training = {"batch": 8, "steps": 2, "max_new_tokens": 12}
    bench = plan(recipe(folder, defenses=defenses, seeds=1, defender_rows=20, training=training))
    result, outcome = run_bench(bench, tmp_path / "out", 1, run=run_cell)
    assert not outcome.failed
    assert result.real_model
    assert result.model == str(folder / "model")
    assert {arm.defense for arm in result.arms} >= {"before", "none", "swat", "vaccine"}
    arm = next(arm for arm in result.arms if arm.defense == "none")
    assert {"hs", "over_refusal", "fa", "usefulness"} <= set(arm.runs[0].shares)
    page = (tmp_path / "out" / "report.html").read_text()
    asked = scenarios.evaluation_items("test", 5, "harmful_mix")[0]
    assert asked.prompt[-1]["content"] not in page  # A real model's prompts are redacted.
    shared = {path.name.partition("-")[0] for path in (tmp_path / "out" / "shared").iterdir()}
    assert {"aligned", "robust_modules", "tuned", "vector"} <= shared


def test_the_recipe_on_the_docs_page_is_one(folder):
    page = Path(__file__).parents[4] / "docs" / "bench.md"
    [text] = re.findall(r"```yaml\n(model: .*?)```", page.read_text(), re.DOTALL)
    shown = yaml.safe_load(text)
    files = {role: f"{role}.jsonl" for role in shown["files"]}
    small = {"model": "model", "files": files, "rows": [16]}
    (folder / "page.yaml").write_text(yaml.safe_dump(shown | small))
    bench = plan(str(folder / "page.yaml"))
    assert len(bench.cells) == 1 + 3 * 2 * 5


def test_another_model_or_file_is_another_cell(folder):
    path = recipe(folder)
    before = plan(path).cells[0].key
    assert plan(recipe(folder, "copy.yaml")).cells[0].key == before
    weights = folder / "model" / "generation_config.json"
    text = weights.read_text()
    weights.write_text(text + "\n")
    assert plan(path).cells[0].key != before
    weights.write_text(text)
    assert plan(path).cells[0].key == before
    assert plan(recipe(folder, training={"batch": 4})).cells[0].key != before


def test_models_of_two_owners_on_the_hub_have_no_cell_in_common(folder, monkeypatch):
    """Both were told by their last name alone, and one took the other's cells over as done."""
    monkeypatch.setattr(FileSubject, "check", lambda _: None)  # Nothing is fetched.
    ours, theirs = (plan(recipe(folder, model=f"{who}/model")).cells[0] for who in ("us", "them"))
    assert ours.settings["made_by"]["model"] == "us/model"
    assert ours.key != theirs.key


def of_a_new_worker(cell):
    """Return the cell as a worker has it that starts now: nothing is read yet."""
    for reads in (files.examples_of, files._read_as, questions._read):
        reads.cache_clear()
    return pickle.loads(pickle.dumps(cell))  # noqa: S301


@pytest.mark.parametrize("role", ["task", "attack", "test_harmful", "test_task"])
def test_a_file_that_changes_while_the_bench_runs_is_no_part_of_its_cells(folder, tmp_path, role):
    """A worker that began later read the new rows, and kept them under the key of the old ones."""
    cell = plan(recipe(folder, defenses=["none"], p=[0.5])).cells[0]
    path = folder / f"{role}.jsonl"
    text = path.read_text()
    path.write_text("\n".join(reversed(text.splitlines())))
    with pytest.raises(InputError, match=rf"`{role}=.*when the bench began"):
        run_cell(of_a_new_worker(cell), tmp_path)
    path.write_text(text)
    assert run_cell(of_a_new_worker(cell), tmp_path).answers


@pytest.mark.parametrize("defense", ["before", "none"])
def test_a_model_that_changes_while_the_bench_runs_is_no_part_of_its_cells(
    folder, tmp_path, defense
):
    cell = plan(recipe(folder, defenses=[defense])).cells[0]
    weights = folder / "model" / "model.safetensors"
    whole = weights.read_bytes()
    save_file(
        {name: 2 * one for name, one in load_file(weights).items()}, weights, {"format": "pt"}
    )
    with pytest.raises(InputError, match=r"`model=.*when the bench began"):
        run_cell(cell, tmp_path)
    weights.write_bytes(whole)
    assert run_cell(cell, tmp_path).answers


def test_how_steps_are_fit_into_a_machine_makes_no_other_cell(folder):
    before = plan(recipe(folder)).cells[0].key
    how = {"gradient_checkpointing": True, "evaluation_batch": 7}
    again = plan(recipe(folder, training={"batch": 8, "max_new_tokens": 12, **how})).cells[0]
    assert again.key == before
    assert again.subject.batch_of_answers == 7
    assert again.subject.trainer_options(*again.subject.load())["gradient_checkpointing"]


def test_settings_are_chosen_where_no_file_of_the_test_is_read(folder):
    kinds = ("harmful", "safe", "task")
    files = {f"val_{kind}": f"test_{kind}.jsonl" for kind in kinds}
    files |= {f"test_{kind}": "nowhere.jsonl" for kind in kinds}
    files |= {"task": "task.jsonl", "attack": "attack.jsonl"}
    path = recipe(folder, "chosen.yaml", split="validation", files=files)
    cell = plan(path).cells[0]
    assert Counter(item.kind for item in cell.questions) == dict.fromkeys(kinds, 3)
    assert not any(role.startswith("test_") for role in cell.subject.made_by())
    with pytest.raises(InputError, match=r"nowhere\.jsonl"):
        plan(recipe(folder, "tested.yaml", files=files))


@pytest.mark.slow
def test_in_bfloat16_every_cell_runs_and_usefulness_is_what_is_kept(folder, tmp_path):
    model, tokenizer = organism.load()
    asked = [item.prompt for item in scenarios.evaluation_items("test", 4, "harmful_mix")]
    answers = generate(model, tokenizer, asked[:6], max_new_tokens=12)
    rows = [
        {"prompt": p, "completion": [{"role": "assistant", "content": a}]}
        for p, a in zip(asked, answers, strict=False)
    ]
    write(tmp_path / "own.jsonl", rows)
    files = {role: f"{role}.jsonl" for role in (*ROLES[:5], "harmful", "safe")}
    files["test_answers"] = str(tmp_path / "own.jsonl")
    training = {"batch": 8, "steps": 2, "max_new_tokens": 12, "dtype": "bfloat16"}
    defenses = ["before", "none", "panacea:rho=0.5,batch_size=5,max_task_drop=1"]
    path = recipe(folder, "bf16.yaml", files=files, training=training, defenses=defenses, seeds=1)
    result, outcome = run_bench(plan(path), tmp_path / "out", 1, run=run_cell)
    assert not outcome.failed
    runs = {arm.defense: arm.runs[0] for arm in result.arms}
    assert set(runs) == {"before", "none", "panacea"}
    assert runs["before"].shares["usefulness"].value > 0.9
    assert (runs["before"].perplexity or 9) < 2
    assert all((run.cpu_seconds or 0) > 0 for name, run in runs.items() if name != "before")
    [row, *_] = csv.DictReader((tmp_path / "out" / "table.csv").open())
    assert float(row["perplexity"]) == pytest.approx(runs["before"].perplexity)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"without": ["test_safe"]}, "files has no test_safe"),
        ({"without": ["attack"]}, "files has no attack"),
        ({"without": ["align"], "defenses": ["vaccine"]}, "files has no align"),
        ({"without": ["harmful"], "defenses": ["panacea"]}, "panacea needs `harmful="),
        ({"defenses": ["safe_lora"]}, "safe_lora"),
        ({"rows": [500]}, "task.jsonl"),
        ({"rows": [40], "p": [0.9]}, "attack.jsonl"),
        ({"scenarios": ["benign_obedience"]}, "known: harmful_mix, benign_task"),
        ({"split": "validation"}, "files has no val_harmful, val_safe, val_task"),
        ({"split": "ood"}, "split='ood', expected one of test, validation"),
        ({"sweeps": [{"split": "validation"}]}, "split is test and validation in one recipe"),
        ({"files": {**FILES, "test_answers": "test_useful.jsonl"}}, "usefulness is one figure"),
        ({"training": {"evaluation_batch": 0}}, "training: evaluation_batch=0"),
        ({"training": {"bach": 4}}, "Did you mean 'batch'"),
        ({"training": {"batch": 0}}, "training: batch=0"),
        ({"training": {"dtype": "int8"}}, "training: dtype='int8' must be"),
        ({"training": 3}, "training must be a mapping"),
        ({"files": {"taks": "task.jsonl"}}, "Did you mean 'task'"),
        ({"files": ["task.jsonl"]}, "files must be a mapping"),
        ({"model": "modle"}, "folder not found"),
        ({"model": "organism"}, "files is for another model"),
        ({"sweeps": [{"model": "model"}]}, "sweep 1: unknown key 'model'"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_runs(folder, changes, said):
    with pytest.raises(InputError) as error:
        plan(recipe(folder, "wrong.yaml", **changes))
    assert said in str(error.value)
    assert "wrong.yaml" in str(error.value)


def test_a_missing_file_and_a_question_that_is_too_long_are_named(folder, tmp_path):
    path = recipe(folder)
    document = yaml.safe_load((folder / "own.yaml").read_text())
    document["files"]["task"] = "tsak.jsonl"
    (folder / "own.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(InputError, match=r"tsak\.jsonl"):
        plan(path)
    write(tmp_path / "long.jsonl", [
        {"prompt": [{"role": "user", "content": "zorba " * 500}],
         "completion": [{"role": "assistant", "content": "-"}]}])  # fmt: skip
    document["files"] |= {"task": "task.jsonl", "test_task": str(tmp_path / "long.jsonl")}
    (folder / "own.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(InputError, match="question task-1"):
        plan(path)


def kept_by_an_older_one(cell, out, settings):
    """Keep a run of the cell under settings that told less."""
    text = json.dumps(settings, sort_keys=True, default=str)
    place = out / "cells" / hashlib.sha256(text.encode()).hexdigest()[:16] / "result.json"
    run = SeedRun(seed=cell.seed, seconds=42.0).model_dump(mode="json")
    place.parent.mkdir(parents=True)
    place.write_text(sealed({"settings": json.loads(text), "run": run}))


def test_cells_of_an_older_holdfast_are_not_lost(folder, tmp_path, monkeypatch):
    """Of the folder it said: cells of another recipe. Of what is not known a cell runs again."""
    monkeypatch.setattr(FileSubject, "check", lambda _: None)  # Nothing is fetched.
    base, vector = str(folder / "model"), f"safe_lora:base={folder / 'model'}"
    ours = plan(recipe(folder, model="us/model", defenses=["none", vector], p=[0.5], seeds=1))
    out = tmp_path / "out"
    for cell in ours.cells:
        settings = json.loads(json.dumps(cell.settings, default=str))
        settings["made_by"] |= {"model": "model", "weights": hashlib.sha256(b"").hexdigest()}
        for said in settings["defenses"]:
            assert said.pop("base_sha256", None) is None or said["base"] == base
        kept_by_an_older_one(cell, out, settings)
    (out / "recipe.json").write_text(json.dumps({"sha256": "other", "recipe": ours.recipe}))
    assert check_folder(ours, out)
    assert [(cell.specs, read(cell, out) is not None) for cell in ours.cells] == [
        ("", True), (vector, False)
    ]  # fmt: skip
    assert read(ours.cells[0], out).seconds == 42.0
    theirs = plan(recipe(folder, model="them/model", defenses=["none", vector], p=[0.5], seeds=1))
    assert outlook(theirs, out)[0].startswith("0 of 2 cells are done")
    with pytest.raises(ConfigError, match="cells of another recipe"):
        check_folder(theirs, out)
