"""A recipe's cells, and what is refused before anything runs."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from holdfast.bench.arms import arm_names, attack_name, families, is_control, table_rows
from holdfast.bench.recipe.estimate import estimated_minutes
from holdfast.bench.recipe.files import base_recipe, load_recipe, packaged
from holdfast.bench.recipe.grid import expand
from holdfast.errors import ConfigError, ConflictError, InputError, ModelError
from holdfast.files.adapters import adapter_files
from holdfast.organism import scenarios
from holdfast.organism.build import SHIPPED


def cells_of(**changes):
    small = {"defender_rows": 8, "benign_rows": 8, "validation_rows": 4, "items_per_kind": 2}
    return expand({**base_recipe(), **small, **changes})


def test_the_grid_is_every_combination_in_order():
    cells = cells_of(
        defenses=["none", "safe_mixing:share=0.2"], p=[0.1, 0.3], learning_rate=[None, 1e-3],
        seeds=[4, 2],
    )  # fmt: skip
    assert len(cells) == 2 * 2 * 2 * 2
    assert len({cell.key for cell in cells}) == 16
    assert [cell.seed for cell in cells[:2]] == [4, 2]
    assert {cell.attack.learning_rate for cell in cells} == {scenarios.BUDGET.learning_rate, 1e-3}
    alone, both = (estimated_minutes(cells, workers) for workers in (1, 2))
    assert alone
    assert both == alone / 2


def test_the_key_holds_every_setting_and_not_the_spelling():
    one, other = cells_of(defenses=["panacea:rho=0.5"], seeds=2)
    assert one.key != other.key
    assert cells_of(defenses=["panacea:rho=5e-1"], seeds=1)[0].key == one.key
    assert cells_of(defenses=["panacea:rho=0.4"], seeds=1)[0].key != one.key
    for changed in ({"items_per_kind": 3}, {"rows": 40}, {"steps": 7}, {"benign_rows": 9}):
        assert cells_of(defenses=["panacea:rho=0.5"], seeds=1, **changed)[0].key != one.key


def test_before_is_one_cell_and_benign_data_have_no_share():
    cells = cells_of(
        scenarios=["harmful_mix", "benign_obedience"], defenses=["before", "none"], p=[0.1, 0.2],
        seeds=3,
    )  # fmt: skip
    assert [cell.specs for cell in cells if cell.attack is None] == ["before"] * 2
    assert {cell.point.p for cell in cells if cell.scenario == "benign_obedience"} == {0.0}
    assert len(cells) == 2 + 2 * 3 + 3


def test_epochs_become_steps_and_sweeps_share_cells():
    cells = cells_of(epochs=[2], rows=[33], seeds=1)
    assert cells[0].attack.steps == 2 * 3
    swept = cells_of(p=[0.1], seeds=2, sweeps=[{"p": [0.1, 0.3]}, {"learning_rate": [None, 1e-3]}])
    assert [(c.attack.p, c.attack.learning_rate) for c in swept[::2]] == [
        (0.1, 2.3e-4),
        (0.3, 2.3e-4),
        (0.1, 1e-3),
    ]
    assert [attack_name(c) for c in swept[::2]] == [
        "harmful_mix", "harmful_mix", "harmful_mix, learning_rate=0.001",
    ]  # fmt: skip


def test_a_larger_batch_sees_as_many_rows_and_the_budgets_own_makes_no_other_cell():
    cells = cells_of(p=[0.1], batch=[None, 32, 64], seeds=1)
    assert [(c.budget.batch, c.budget.steps) for c in cells] == [(16, 120), (32, 60), (64, 30)]
    assert [c.attack.epochs * 500 / c.budget.batch for c in cells] == pytest.approx(
        [120 / 32 * 500 / 16, 60 / 16 * 500 / 32, 30 / 8 * 500 / 64]
    )
    assert cells_of(p=[0.1], batch=[16], seeds=1)[0].key == cells[0].key
    assert "batch" not in cells[0].settings
    assert cells[1].settings["batch"] == 32
    assert len({c.key for c in cells}) == 3
    assert attack_name(cells[1]) == "harmful_mix, steps=60, batch=32"
    assert cells_of(p=[0.1], batch=[32], steps=[7], seeds=1)[0].budget.steps == 7
    assert cells_of(p=[0.1], batch=[32], epochs=[2], seeds=1)[0].budget.steps == 2 * 16
    with pytest.raises(ConfigError, match="batch=0 is out of range"):
        cells_of(batch=[0])


def test_arms_of_one_defense_are_told_apart():
    cells = cells_of(
        defenses=[
            "none",
            "panacea:rho=0.5",
            "panacea:rho=1",
            ["swat", "panacea"],
            "swat:subset=random",
        ]
    )
    assert list(arm_names(cells).values()) == [
        "none", "panacea", "panacea(rho=1.0)", "swat+panacea", "swat(random)",
    ]  # fmt: skip
    apart = cells_of(
        defenses=["swat:boost=2"],
        sweeps=[{"scenarios": ["benign_obedience"], "defenses": ["swat"]}],
    )
    assert list(arm_names(apart).values()) == ["swat", "swat"]
    assert all(row["seeds"] == 0 and row["missing"] == 5 for row in table_rows(cells, {}))


def test_the_estimate_counts_a_shared_tuned_model_once():
    def minutes(*defenses):
        found = estimated_minutes(cells_of(defenses=list(defenses), seeds=1), 1)
        assert found is not None
        return found

    repairs = minutes("none", "panacea:rho=1", "panacea:rho=2") - minutes("none")
    assert 0 < repairs < minutes("none")
    assert minutes("panacea:mode=in-loop") > 2 * minutes("none")
    assert minutes("before") < repairs


def test_lists_that_differ_in_one_strength_are_a_family():
    cells = cells_of(
        defenses=[
            "before", "none", "panacea:rho=0.5", "panacea:rho=1,max_task_drop=1",
            "panacea:max_task_drop=1,rho=.5", "random_perturbation:rho=1", "swat:subset=random",
            ["swat:boost=2", "panacea:rho=1"], ["swat:boost=2", "panacea:rho=.5"], "ml_lr:ratio=1",
        ]
    )  # fmt: skip
    assert {tuple(map(str, specs)): found for specs, found in families(cells).items()} == {
        ("panacea:rho=1,max_task_drop=1",): ("panacea(max_task_drop=1.0)", 1.0),
        ("panacea:max_task_drop=1,rho=.5",): ("panacea(max_task_drop=1.0)", 0.5),
        ("swat:boost=2", "panacea:rho=1"): ("swat(boost=2.0)+panacea", 1.0),
        ("swat:boost=2", "panacea:rho=.5"): ("swat(boost=2.0)+panacea", 0.5),
    }
    controls = [cell.specs for cell in cells if cell.seed == 0 and is_control(cell.defenses)]
    # Noise, another subset, and a strength at which ML-LR is plain fine-tuning.
    assert controls == ["random_perturbation:rho=1", "swat:subset=random", "ml_lr:ratio=1"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seeds": 0}, "seeds=0"),
        ({"seeds": []}, "at least one"),
        ({"seeds": [1, 1]}, "named twice"),
        ({"defenses": ["none", "none"]}, "named twice"),
        ({"defenses": ["panacea:rho=0.5", "panacea:rho=.5"]}, "named twice"),
        ({"defenses": ["panacae"]}, "'panacea'"),
        ({"defenses": ["panacea:roh=1"]}, "'rho'"),
        ({"defenses": [["panacea", "none"]]}, "stand alone"),
        ({"defenses": [3]}, "no name"),
        ({"scenarios": ["harmful_mx"]}, "'harmful_mix'"),
        ({"scenarios": []}, "at least one"),
        ({"p": [1.5]}, "share in"),
        ({"p": ["much"]}, "finite number"),
        ({"p": [0.1, 0.001], "rows": [300]}, "p=0.001 of rows=300 is no harmful row: give more"),
        ({"p": [0.999], "rows": [300]}, "p=0.999 of rows=300 is no harmless row"),
        ({"steps": [0]}, "more than 0"),
        ({"steps": [3], "epochs": [1]}, "give one of them"),
        ({"sweeps": [{"defender_rows": 9}]}, "cell twice, with defender_rows=8 and 9: harmful_mix"),
        ({"sweeps": [{"split": "validation"}]}, "cell twice, with split=test and validation"),
        ({"sweeps": [{"movement": True}]}, "cell twice, with movement=False and True"),
        ({"sweeps": [{"pp": [0.1]}]}, "sweep 1: unknown key 'pp'"),
        ({"sweeps": [{"seeds": 0}]}, "sweep 1: seeds=0"),
        ({"movement": "much"}, "movement='much' must be true or false"),
        ({"sweeps": [{"organism": "x"}]}, "sweep 1: unknown key 'organism'"),
        ({"model": "some/folder", "organism": "x"}, "organism is a folder of the organism"),
        ({"model": "some/folder"}, "model other than 'organism' needs rows of its task"),
    ],
)
def test_a_wrong_recipe_is_refused(changes, said):
    with pytest.raises(ConfigError) as error:
        cells_of(**changes)
    assert said in str(error.value)


def test_a_declared_conflict_is_refused():
    with pytest.raises(ConflictError, match="exclude each other"):
        cells_of(defenses=[["security_vectors", "panacea:mode=in-loop"]])


def test_files_are_read_as_differences_from_base(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("p: [0.4]\n")
    assert load_recipe(str(path)) == {**base_recipe(), "p": [0.4]}
    for text, said in (("sceanrios: [x]", "'scenarios'"), ("- a", "mapping"), ("a: [", "line ")):
        path.write_text(text)
        with pytest.raises(ConfigError) as error:
            load_recipe(str(path))
        assert said in str(error.value)
    with pytest.raises(ConfigError, match="'quick'"):
        load_recipe("quik")


def test_what_is_not_measured_makes_no_other_cell():
    plain, moved = cells_of(seeds=1)[0], cells_of(seeds=1, movement=True)[0]
    assert "movement" not in plain.settings
    assert moved.settings == {**plain.settings, "movement": True}


def test_another_organism_makes_other_cells(tmp_path):
    other = tmp_path / "other"
    shutil.copytree(SHIPPED, other)
    weights = load_file(other / "model.safetensors")
    name = next(iter(weights))
    save_file({**weights, name: weights[name] + 1}, other / "model.safetensors", {"format": "pt"})
    (tmp_path / "r.yaml").write_text("organism: other\nseeds: 1\n")
    ours = expand(base_recipe() | {"seeds": 1})[0]
    [theirs] = expand(load_recipe(str(tmp_path / "r.yaml")))
    assert theirs.subject.path == str(other)
    assert theirs.settings == {**ours.settings, "made_by": theirs.subject.made_by()}
    assert theirs.key != ours.key
    assert theirs.subject.questions("test", 2, "harmful_mix") == ours.subject.questions(
        "test", 2, "harmful_mix"
    )
    assert torch.equal(theirs.subject.load()[0].state_dict()[name], weights[name] + 1)
    with pytest.raises(ModelError, match=r"recipe: no organism at .*nowhere"):
        cells_of(organism=str(tmp_path / "nowhere"))
    shutil.copy(SHIPPED / "model.safetensors", other / "model.safetensors")
    with pytest.raises(InputError, match=r"`organism=.*other` is not what it was when the bench"):
        theirs.subject.load()


def test_another_content_of_a_folder_that_a_defense_names_makes_other_cells(tmp_path, monkeypatch):
    """The path alone decided: cells of the vector that lay there before were taken over as done."""
    folder = tmp_path / "vector"
    tensors, config = adapter_files(
        {f"base_model.model.q.lora_{side}.weight": torch.ones(2, 2) for side in "AB"}, ""
    )

    def key(value):
        folder.mkdir(exist_ok=True)
        save_file({name: one * value for name, one in tensors.items()},
                  folder / "adapter_model.safetensors")  # fmt: skip
        (folder / "adapter_config.json").write_text(json.dumps(config))
        return cells_of(defenses=[f"security_vectors:vector={folder}"], seeds=1)[0].key

    before = key(1)
    assert key(1) == before
    assert key(2) != before
    # A word of a choice names no folder, whatever lies where the bench is started.
    plain = cells_of(defenses=["refusal_sft:refusals=base"], seeds=1)[0].key
    (tmp_path / "base").mkdir()
    monkeypatch.chdir(tmp_path)
    assert cells_of(defenses=["refusal_sft:refusals=base"], seeds=1)[0].key == plain


def test_a_recipe_says_how_it_differs_from_another(tmp_path):
    (tmp_path / "a.jsonl").write_text("")
    parent = {"model": "m", "files": {"task": "a.jsonl", "attack": "b.jsonl"}, "p": [0.4]}
    (tmp_path / "parent.yaml").write_text(json.dumps(parent))
    own = tmp_path / "own.yaml"
    own.write_text(
        json.dumps({"extends": "parent.yaml", "files": {"attack": "c.jsonl"}, "rows": [8]})
    )
    found = load_recipe(str(own))
    files = {"task": str((tmp_path / "a.jsonl").resolve()), "attack": "c.jsonl"}
    assert found == {**base_recipe(), **parent, "files": files, "rows": [8]}
    own.write_text("extends: quick\np: [0.3]\n")
    assert load_recipe(str(own)) == {**load_recipe("quick"), "p": [0.3]}
    for wrong, said in (("own.yaml", "extends is 'own.yaml'"), ("quik", "Did you mean 'quick'"),
                        (3, "extends is 3, expected a recipe")):  # fmt: skip
        own.write_text(json.dumps({"extends": wrong}))
        with pytest.raises(ConfigError, match=said):
            load_recipe(str(own))


@pytest.mark.parametrize("name", packaged())
def test_packaged_recipes_are_valid(name):
    recipe = load_recipe(f"recipes/{name}.yaml")
    if recipe["model"] == "organism":
        assert expand(recipe)
    else:  # Its rows are not in the package.
        with pytest.raises(InputError, match=r"real-out/rows/task.*: file not found"):
            expand(recipe)
