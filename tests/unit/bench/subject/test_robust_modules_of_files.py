"""Mods_Rob of a model in files: found once from the defender's prompts, taken by every cell."""

import json

import pytest
import yaml

from holdfast import organism
from holdfast.analysis.modules.robust_modules import RobustModules
from holdfast.analysis.pipeline import AnalysisSettings, find_robust_modules
from holdfast.bench.bench import plan
from holdfast.bench.cell.learned import with_shared
from holdfast.bench.cell.stages import prepared
from holdfast.inputs.specs import build_defenses
from holdfast.ops.modules import ref_of
from holdfast.organism import scenarios
from holdfast.training.standalone import standalone_run
from tests.unit.bench.subject.test_file_subject import write

ARMS = ["ml_lr:ratio=0", "ml_lr:ratio=0,subset=roles", "swat", "swat:subset=random_matched"]


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Cells of two seeds by arm, of a recipe whose model is loaded in bfloat16."""
    root = tmp_path_factory.mktemp("own")
    for part in organism.load():
        part.save_pretrained(root / "model")
    rows = {
        "task": scenarios.benign_task(20),
        "harmful": scenarios.defender_pairs(30),
        "benign": scenarios.harmless_prompts(30),
    }
    for role, examples in rows.items():
        write(root / f"{role}.jsonl", examples)
    for kind in ("harmful", "safe", "task"):
        asked = [i for i in scenarios.evaluation_items("test", 2, "harmful_mix") if i.kind == kind]
        lines = [json.dumps({"prompt": i.prompt, "completion": i.reference or "-"}) for i in asked]
        (root / f"test_{kind}.jsonl").write_text("\n".join(lines))
    files = {path.stem: path.name for path in root.glob("*.jsonl")}
    recipe = {
        "model": "model", "files": files, "scenarios": ["benign_task"], "defenses": ARMS,
        "training": {"batch": 8, "dtype": "bfloat16", "lora_rank": 4}, "rows": [16], "steps": [2],
        "seeds": 2, "defender_rows": 24, "benign_rows": 28, "items_per_kind": 2,
    }  # fmt: skip
    (root / "robust.yaml").write_text(yaml.safe_dump(recipe))
    found = plan(str(root / "robust.yaml")).cells
    return {(cell.specs, cell.seed): cell for cell in found}


def taken(cell, out):
    """The Mods_Rob that a cell's method is given."""
    [defense] = build_defenses(cell.defenses, cell.defender)
    return RobustModules.load(with_shared(defense, cell, None, out)[0].modules)


def test_it_is_that_of_the_model_as_loaded_and_of_the_first_seeds_prompts(cells, tmp_path):
    every = [taken(cell, tmp_path) for cell in cells.values()]
    assert len(every) == 2 * len(ARMS)
    assert all(one == every[0] for one in every)
    first = cells[ARMS[0], 0]
    model, tokenizer = first.subject.load()
    assert str(next(model.parameters()).dtype) == "torch.bfloat16"
    drawn = {role: rows.select(range(24)) for role, rows in first.defender.items()}
    alone = find_robust_modules(
        standalone_run(model, tokenizer), drawn["harmful"], drawn["benign"], AnalysisSettings()
    )
    assert every[0].model_copy(update={"model": ""}) == alone.model_copy(update={"model": ""})
    assert alone.modules
    shared = [p.name for p in (tmp_path / "shared").iterdir() if p.is_dir()]
    assert len(shared) == 1
    assert shared[0].startswith("robust_modules")


def learned(cell, out):
    """Where a run's adapter is no longer zero."""
    model = prepared(cell, out).tuned.model
    factors = [(ref_of(n), p) for n, p in model.named_parameters() if "lora_B" in n]
    assert {str(p.dtype) for _, p in factors} == {"torch.float32"}
    return {(ref.layer, ref.role) for ref, p in factors if bool(p.any())}


def test_a_control_learns_elsewhere_and_as_much(cells, tmp_path):
    ours = taken(cells[ARMS[0], 1], tmp_path).pairs
    assert learned(cells[ARMS[0], 1], tmp_path) == ours
    drawn = learned(cells[ARMS[1], 1], tmp_path)
    assert drawn != ours
    assert sorted(role for _, role in drawn) == sorted(role for _, role in ours)
