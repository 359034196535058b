"""Percentiles, columns and the calibration file: what may be said, and of which model."""

import json
from dataclasses import replace

import pytest

from holdfast.analysis.rows import Column, RowScores, ready
from holdfast.analysis.rows.calibration import Calibration, Evidence, template_hash
from holdfast.analysis.rows.columns import NOT_VALIDATED, top_mean
from holdfast.analysis.rows.references import References
from holdfast.errors import DataError, InputError
from holdfast.files.base_mark import BaseMark
from tests.unit.analysis.rows.organism_rows import engine_of, materials, planted

GOOD = Evidence((0.8, 0.7, 0.9), 34, (0.3, 0.1, 0.5), "loss", (4, 5))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"rho": (0.69, 0.5, 0.8)}, "ρ below 0.7"),
        ({"rho": None}, "ρ below 0.7"),
        ({"over_baseline": (0.3, 0.0, 0.5)}, "best baseline"),
        ({"row_test": (3, 5)}, "row test lost"),
        ({"row_test": None}, "row test not run"),
    ],
)
def test_each_part_of_the_bar_is_needed(changed, said):
    assert GOOD.validated
    assert GOOD.label == "calibrated on this model: ρ .80 [.70, .90] over 34 harmless sets"
    missed = replace(GOOD, **changed)
    assert not missed.validated
    assert missed.label.startswith(NOT_VALIDATED)
    assert said in missed.label


def made(**changed):
    engine, tokenizer = engine_of()
    given = {
        "base": BaseMark.of(engine.model, "organism"), "template": template_hash(tokenizer),
        "probes": "p", "references": {"general": "h"}, "layers": (0, 1, 2, 3), "t": 0.01,
        "components": {"push": GOOD}, "quantiles": {"push": {"general": tuple(range(101))}},
    }  # fmt: skip
    return Calibration(**(given | changed))


def test_a_file_is_read_as_it_was_written(tmp_path):
    made().save(tmp_path / "holdfast_calibration.json")
    assert Calibration.load(tmp_path).components == made().components
    path = tmp_path / "holdfast_calibration.json"
    said = json.loads(path.read_text())
    said["components"]["push"]["rho"][0] = 0.99
    path.write_text(json.dumps(said))
    with pytest.raises(InputError, match="not what was written"):
        Calibration.load(path)
    with pytest.raises(InputError, match="no calibration"):
        Calibration.load(tmp_path / "none.json")
    path.write_text(json.dumps(said | {"schema": True}))
    with pytest.raises(InputError, match="version True, which is none"):
        Calibration.load(path)


def test_another_base_or_template_has_percentiles_alone():
    engine, tokenizer = engine_of()
    mark = BaseMark.of(engine.model, "organism")
    rows, _ = planted(4, 1)
    with_it = ready(engine, tokenizer, materials(6), made(), mark).scores(rows)
    assert with_it.labels == {"push": GOOD.label}
    assert with_it.label == "validated on this model: push"
    assert with_it.combined == ()
    combining = ready(engine, tokenizer, materials(6), made(combined=True), mark).scores(rows)
    assert all(rank is not None and 0 <= rank <= 1 for rank in combining.combined)
    other = replace(mark, values={"float32": "x"})
    for given, reason in (
        (made(base=other), "another base"),
        (made(template="x"), "chat template"),
    ):
        found = ready(engine, tokenizer, materials(6), given, mark)
        assert any(reason in note for note in found.notes)
        assert (found.labels, found.combined) == ({}, False)
        assert found.scores(rows).label == NOT_VALIDATED


def test_percentiles_weigh_each_reference_alike_and_ties_count_half():
    found = References({"general": (1.0, 2.0, 3.0, 4.0), "lists": (10.0,)})
    assert found.percentiles([0.0, 2.0, 5.0, 10.0, None]) == (0.0, 18.75, 50.0, 75.0, None)
    with pytest.raises(DataError, match="without rows"):
        References({"general": ()})


def test_a_set_stands_among_draws_of_the_general_reference():
    general = tuple(float(n) for n in range(1000))
    found = References({"general": general, "harmful": (5000.0,)})
    low, high = found.set_score([1.0] * 100), found.set_score([*[1.0] * 99, 9000.0])
    assert (low.percentile, low.above) == (0.0, 0.0)
    assert high.above == 0.01
    assert high.value == (9000.0 + 4 * 1.0) / 5
    assert high.references == {"general": top_mean(general), "harmful": 5000.0}


def test_columns_of_other_lengths_and_losses_that_are_not_finite_are_refused():
    with pytest.raises(DataError, match="one value a row"):
        RowScores({"push": Column("push", (1.0,)), "loss": Column("loss", (1.0, 2.0))})
    with pytest.raises(DataError, match="row 2: the score is nan"):
        RowScores({"push": Column("push", (1.0, float("nan")))})
    with pytest.raises(DataError, match="no row has a score"):
        top_mean([None, None])
    found = RowScores({"push": Column("push", (1.0, None), (50.0, None))})
    assert found.row(1) == {"push": {"value": None, "percentile": None}}
    assert json.loads(json.dumps(found.document()))["columns"]["push"]["values"] == [1.0, None]
