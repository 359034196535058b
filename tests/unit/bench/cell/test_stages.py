"""A cell in stages gives the model, bit for bit, that one trainer with all defenses gives."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from holdfast.bench.cell.learned import Aligned, aligned, given_folders, unaligned
from holdfast.bench.cell.runs import tune
from holdfast.bench.cell.stages import prepared, repaired
from holdfast.bench.recipe.files import base_recipe
from holdfast.bench.recipe.grid import expand
from holdfast.bench.subject.organism import ORGANISM_SUBJECT, OrganismSubject
from holdfast.inputs.specs import build_defenses
from holdfast.ops.modules import trainable
from holdfast.organism import scenarios
from holdfast.organism.build import SHIPPED
from holdfast.training.trainer import SecureSFTTrainer

pytestmark = pytest.mark.thorough

SMALL = {"rows": [16], "steps": [2], "defender_rows": 10, "benign_rows": 10, "validation_rows": 4}


def cell_of(*specs, **changes):
    recipe = {**base_recipe(), **SMALL, "seeds": [3], "defenses": [list(specs)], **changes}
    return expand(recipe)[0]


def staged(cell, out):
    ready = prepared(cell, out)
    return repaired(ready, cell.seed)


def together(cell):
    """Tune with every defense in one trainer."""
    rows = scenarios.SCENARIOS[cell.scenario](n=cell.attack.rows, p=cell.attack.p, seed=cell.seed)
    defenses = build_defenses(cell.defenses, cell.defender)
    budget = replace(scenarios.BUDGETS[cell.scenario], steps=cell.attack.steps)
    return tune(rows, defenses, cell.seed, budget)


def same(one, other):
    left, right = trainable(one.model), trainable(other.model)
    return left.keys() == right.keys() and all(torch.equal(left[n], right[n]) for n in left)


@pytest.mark.slow
def test_stages_equal_one_trainer_bit_for_bit(tmp_path):
    spec = "panacea:rho=0.5,max_task_drop=1,batch_size=5"
    for specs in ((spec,), ("random_perturbation:rho=0.5",), ("safe_mixing:share=0.5", spec)):
        cell = cell_of(*specs)
        assert same(staged(cell, tmp_path), together(cell))
    cell = cell_of(spec, "safe_mixing:share=0.5")  # What repairs is not last: one trainer runs it.
    assert same(staged(cell, tmp_path), together(cell))


@pytest.mark.slow
def test_what_is_taken_over_is_what_a_run_learns_itself_bit_for_bit(tmp_path):
    vector = "security_vectors:epochs=2,max_harmful_nll=99,max_benign_kl=99"
    for scenario in ("harmful_mix", "benign_obedience"):
        cell = cell_of(vector, scenarios=[scenario])
        assert same(staged(cell, tmp_path), together(cell))
    # Mods_Rob is of seed 0, and of as many harmless rows as harmful ones.
    rows = {"defender_rows": 24, "benign_rows": 24, "seeds": [0]}
    for spec in ("ml_lr:ratio=0.1", "swat:warmup=0.5,subset=random"):
        cell = cell_of(spec, **rows)
        assert same(staged(cell, tmp_path), together(cell))
    kinds = sorted(p.name.partition("-")[0] for p in (tmp_path / "shared").iterdir() if p.is_dir())
    assert kinds == ["robust_modules", *["tuned"] * 4, "vector"]


def test_full_weights_too(tmp_path):
    cell = cell_of("random_perturbation:rho=0.5", scenarios=["benign_obedience"])
    assert same(staged(cell, tmp_path), together(cell))


def test_cells_that_differ_in_the_repair_share_the_tuned_model(tmp_path, monkeypatch):
    ran, train = [], SecureSFTTrainer.train
    monkeypatch.setattr(SecureSFTTrainer, "train", lambda self: ran.append(1) or train(self))
    for spec in ("panacea:rho=0.5,max_task_drop=1", "panacea:rho=1", "random_perturbation:rho=1"):
        found = staged(cell_of(spec), tmp_path)
    assert len(ran) == 1
    assert found.cost.seconds > 0
    assert found.cost.cpu_seconds > 0
    assert found.trace[-1]["defense"] == "random_perturbation"
    staged(cell_of("random_perturbation:rho=1", p=[0.5]), tmp_path)
    staged(cell_of("safe_mixing:share=0.5"), tmp_path)
    assert len(ran) == 3


def test_a_cell_leaves_nothing_where_the_bench_was_started(tmp_path, monkeypatch):
    """The Trainer made a folder there, and in a read-only one every cell failed."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    staged(cell_of("safe_mixing:share=0.5"), tmp_path / "out")
    assert not list(Path().iterdir())


def test_a_security_vector_is_trained_once_for_all_attacks(tmp_path):
    spec = "security_vectors:epochs=1,max_harmful_nll=99,max_benign_kl=99"
    for p in (0.1, 0.5):
        staged(cell_of(spec, p=[p]), tmp_path)
    vectors = [p for p in (tmp_path / "shared").iterdir() if p.is_dir() and "vector-" in p.name]
    assert len(vectors) == 1
    staged(cell_of(spec.replace("epochs=1", "epochs=2")), tmp_path)
    vectors = [p for p in (tmp_path / "shared").iterdir() if p.is_dir() and "vector-" in p.name]
    assert len(vectors) == 2


def test_the_unaligned_model_is_the_shipped_ancestor(tmp_path):
    assert unaligned(ORGANISM_SUBJECT, tmp_path) == SHIPPED / "unaligned"
    assert not list(tmp_path.iterdir()), "nothing is tuned for it"
    cell = cell_of("safe_lora:tau=0.3")
    assert given_folders(cell, cell.defenses, None, tmp_path) == {
        "safe_lora": {"base": str(SHIPPED / "unaligned")}
    }


def test_an_organism_without_an_ancestor_has_a_stand_in(tmp_path, monkeypatch):
    monkeypatch.setattr(
        scenarios, "UNALIGNING_BUDGET", scenarios.Budget(rows=8, steps=1, full=True)
    )
    older = tmp_path / "older"
    shutil.copytree(SHIPPED, older, ignore=shutil.ignore_patterns("unaligned"))
    subject = OrganismSubject(path=str(older))
    folder = unaligned(subject, tmp_path)
    assert (folder / "model.safetensors").exists()
    assert unaligned(subject, tmp_path) == folder
    assert aligned(cell_of("safe_mixing:share=0.5"), (), tmp_path) == Aligned()


def test_only_what_reads_the_unaligned_model_is_named_by_it(tmp_path):
    older = tmp_path / "older"
    shutil.copytree(SHIPPED, older, ignore=shutil.ignore_patterns("unaligned"))

    def keys(*specs):
        cell = cell_of(*specs)
        return cell.key, replace(cell, subject=OrganismSubject(path=str(older))).key

    for specs in (("safe_lora:tau=0.3",), ("safe_lora:tau=0.3", "safe_mixing:share=0.5")):
        assert keys(*specs)[0] != keys(*specs)[1]
    for specs in (("resta:gamma=0.5",), ("safe_lora:tau=0",), (f"safe_lora:base={older}",)):
        assert keys(*specs)[0] == keys(*specs)[1]


@pytest.mark.slow
def test_an_alignment_stage_is_made_once_and_shows_in_the_trace(tmp_path, monkeypatch):
    short = scenarios.Budget(rows=16, steps=2, batch=4, full=True)
    monkeypatch.setattr(scenarios, "ALIGNMENT_BUDGET", short)
    first = staged(cell_of("vaccine:rho=0.5"), tmp_path)
    assert ("vaccine", "gradient") in {(row["defense"], row["hook"]) for row in first.trace}
    second = staged(cell_of("vaccine:rho=0.5", p=[0.5]), tmp_path)
    folders = [p for p in (tmp_path / "shared").iterdir() if p.name.startswith("aligned-")]
    assert len([p for p in folders if p.is_dir()]) == 1
    plain = staged(cell_of("vaccine:rho=0"), tmp_path)
    assert not same(first, plain)
    assert first.cost.seconds > 0
    assert second.trace[0] == first.trace[0]
