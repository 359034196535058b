"""``holdfast bench`` from the command line, with a recipe of tiny cells."""

import json

import pytest

from holdfast.cli import main
from tests.unit.bench.pool.test_runner import tables

RECIPE = """
defenses: [none, "swat:tau=0.1"]
steps: [2]
rows: [16]
seeds: 1
items_per_kind: 2
defender_rows: 24
benign_rows: 24
validation_rows: 4
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(RECIPE)
    return str(path)


def test_a_dry_run_prints_the_cells_and_writes_nothing(recipe, tmp_path, capfd):
    out = tmp_path / "out"
    assert main(["bench", recipe, "--out", str(out), "--dry-run"]) == 0
    shown, said = capfd.readouterr()
    assert len(shown.splitlines()) == 2
    assert "swat:tau=0.1" in shown
    assert "2 cells, about" in said
    assert main(["bench", recipe, "--out", str(out), "--dry-run", "--json"]) == 0
    assert len(json.loads(capfd.readouterr().out)["cells"]) == 2
    some = ["--only", "none seed=0", "--minutes", "5"]
    assert main(["bench", recipe, "--out", str(out), "--dry-run", *some]) == 0
    shown, said = capfd.readouterr()
    assert len(shown.splitlines()) == 1
    assert "1 cells, about" in said
    assert not out.exists()


@pytest.mark.slow
def test_real_cells_become_a_table_a_result_and_a_report(recipe, tmp_path, capfd):
    out = tmp_path / "out"
    assert main(["bench", recipe, "--out", str(out), "--workers", "2", "--json"]) == 0
    rows = json.loads(capfd.readouterr().out)["rows"]
    assert [row["defense"] for row in rows] == ["none", "swat"]
    assert len(list(out.glob("shared/robust_modules-*/robust_modules.json"))) == 1
    assert (out / "report.html").stat().st_size > 1000
    before = tables(out)
    assert main(["bench", recipe, "--out", str(out)]) == 0
    assert tables(out) == before


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--executor", "rya"], "known: local, ray. Did you mean 'ray'?"),
        (["--workers", "0"], "at least 1"),
        (["--only", "nnoe"], "--only nnoe names no cell of the recipe"),
        (["--minutes", "0"], "--minutes 0 is out of range"),
    ],
)
def test_options_that_cannot_be_are_refused(recipe, tmp_path, capfd, more, said):
    assert main(["bench", recipe, "--out", str(tmp_path / "o"), *more]) == 2
    assert said in capfd.readouterr().err
    assert not (tmp_path / "o").exists()


@pytest.mark.slow
def test_a_failed_cell_is_told_and_ends_with_1(tmp_path, capfd, recipe):
    # A vector of one pass over 20 rows cannot pass its gate: the cell fails, plain does not.
    text = RECIPE.replace(
        '"swat:tau=0.1"', '"security_vectors:rows=20,epochs=1,max_harmful_nll=0.01"'
    )
    (tmp_path / "tiny.yaml").write_text(text)
    assert main(["bench", recipe, "--out", str(tmp_path / "o")]) == 1
    err = capfd.readouterr().err
    assert "1 of 2 cells failed" in err
    assert "GateError" in err
    assert [r["missing"] for r in json.loads((tmp_path / "o/table.json").read_text())["rows"]] == [
        0,
        1,
    ]
