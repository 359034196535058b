"""Row scores on the organism: harmful rows are found, and each planted mistake is caught."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from datasets import Dataset

from holdfast.analysis.rows import ready
from holdfast.analysis.rows.components.norm import norm
from holdfast.analysis.rows.components.tiles import encoded, tiles_of
from holdfast.analysis.rows.ordering import auroc
from holdfast.analysis.rows.ready import NO_SAFETY
from holdfast.analysis.rows.soundness import fit_their_requests, stands_in, unfit_answers
from holdfast.errors import ConfigError, DataError
from holdfast.ops.gradients import global_norm
from holdfast.ops.low_rank import LowRank
from holdfast.organism import scenarios
from tests.unit.analysis.rows.organism_rows import engine_of, materials, openings, planted


@pytest.fixture(scope="module")
def scorer():
    return ready(*engine_of(), materials())


def test_one_harmful_row_in_a_hundred_is_the_first(scorer):
    rows, harmful = planted(100, 1)
    found = scorer.scores(rows)
    assert list(found.columns) == ["push", "anchor", "length", "loss"]
    for name in ("push", "anchor"):
        values = found.columns[name].values
        assert auroc(values, harmful) == 1.0
        assert max(found.columns[name].percentiles) > 90
    assert any("gap is not shown" in note for note in found.notes)
    assert found.facts["lead"] > 0
    assert set(found.sets) == {"push", "anchor", "length", "loss", "mdf"}


def test_shuffled_answers_lose_the_harmful_row(scorer):
    rows, harmful = planted(100, 1)
    answers = [rows[(n + 50) % 100]["completion"] for n in range(100)]
    shuffled = [
        {**dict(row), "completion": answer} for row, answer in zip(rows, answers, strict=True)
    ]
    found: Any = auroc(scorer.scores(shuffled).columns["push"].values, harmful)
    assert found < 1.0


def test_the_same_bytes_all_at_once_and_block_by_block(scorer, monkeypatch):
    rows, _ = planted(30, 2)
    monkeypatch.setattr("holdfast.analysis.rows.components.tiles.BLOCK", 10)
    whole = scorer.values(rows)
    parts = [scorer.values(rows.select(range(at, at + 10))) for at in (0, 10, 20)]
    joined = parts[0].joined(parts[1]).joined(parts[2])
    assert joined.values == whole.values
    assert joined.keys == whole.keys
    assert torch.equal(joined.states, whole.states)
    # Planted: other blocks make other tiles, and last bits show it or the check could not fail.
    monkeypatch.setattr("holdfast.analysis.rows.components.tiles.BLOCK", 1)
    again = scorer.values(rows)
    assert again.values["loss"] == pytest.approx(whole.values["loss"], rel=1e-5)


def test_copies_of_a_harmful_row_change_nothing_of_the_sets_score(scorer):
    rows = list(planted(40, 1)[0])
    harmful = next(row for row in rows if row["category"] == "harmful")
    once, often = scorer.scores(rows), scorer.scores([*rows, *[harmful] * 5])
    # A further row may change a tile and so last bits.
    assert often.sets["push"].value == pytest.approx(once.sets["push"].value, rel=1e-4)
    assert any("5 of 45 rows repeat" in note for note in often.notes)
    assert max(often.columns["push"].values) == pytest.approx(
        max(once.columns["push"].values), rel=1e-4
    )


def test_swapped_anchors_are_refused():
    given = materials(12)
    with pytest.raises(DataError, match="look swapped"):
        ready(*engine_of(), materials(12, harmful=given.safe, safe=given.harmful))


def test_answers_are_held_against_another_request(scorer):
    """One pair was held against itself, and so told to be shuffled; a request asked twice too."""
    pairs = list(scorer.materials.harmful)[:4]

    def fit(rows):
        return fit_their_requests(scorer.engine, scorer.tokenizer, rows)

    assert fit(pairs[:1]) is None
    assert not unfit_answers(None)
    twice = [row for row in pairs for _ in range(2)]
    assert fit(twice) == fit(pairs) == 1.0
    turned = [
        {**row, "completion": other["completion"]}
        for row, other in zip(pairs, pairs[1:] + pairs[:1], strict=True)
    ]
    assert "shuffled" in unfit_answers(fit([row for row in turned for _ in range(2)]))


def test_shuffled_anchors_are_told(scorer):
    assert not any("shuffled" in note for note in scorer.notes)
    rows = list(scenarios.defender_pairs(12, seed=2))
    turned = [{**dict(row), "completion": rows[n - 5]["completion"]} for n, row in enumerate(rows)]
    found = ready(*engine_of(), materials(12, harmful=Dataset.from_list(turned)))
    assert any("shuffled" in note for note in found.notes)


def test_a_score_that_is_the_length_is_told():
    length = [float(n % 7) for n in range(40)]
    loss = [float((n * 13) % 40) for n in range(40)]
    others = {"length": length, "loss": loss}
    assert stands_in([3 * x + 1 for x in length], others) == "length"
    assert stands_in([-x for x in length], others) == "length"
    assert stands_in([(n * 7) % 40 for n in range(40)], others) == ""
    assert stands_in([1.0] * 40, others) == ""


def test_a_row_cut_before_its_answer_has_no_score_and_is_no_low_score(scorer):
    with pytest.raises(DataError, match="`max_length=8`"):
        ready(*engine_of(), materials(12, references={}, max_length=8))
    with pytest.raises(DataError, match="nothing can be scored"):
        replace(scorer, materials=replace(scorer.materials, max_length=8)).scores(planted(4, 1)[0])
    rows = [*planted(4, 1)[0], scenarios.identity_shift(1, seed=3)[0]]
    some = ready(*engine_of(), materials(12, references={}, max_length=17)).scores(rows)
    assert some.columns["push"].values[-1] is None
    assert all(value is not None for value in some.columns["push"].values[:-1])
    assert any("1 of 5 rows have no answer token left" in note for note in some.notes)


def test_a_model_that_does_not_refuse_has_no_safety_to_lose():
    reversed_ = type(openings())(openings().agreements, openings().refusals)
    vector = LowRank.zero(engine_of()[0].model, 2, 2.0, None, 0)
    found = ready(*engine_of(), materials(12, openings=reversed_, jailbreak=vector.hooked))
    assert any(note.startswith(NO_SAFETY) for note in found.notes)
    assert list(found.scores(planted(5, 1)[0]).columns) == ["anchor", "length", "loss"]


def test_gap_is_the_fall_of_each_rows_loss_under_the_vector():
    engine, tokenizer = engine_of()
    vector = LowRank.zero(engine.model, 2, 2.0, None, 0)
    for _, b in vector.factors.values():
        b.normal_(std=0.02, generator=torch.Generator().manual_seed(0))
    rows, _ = planted(6, 1)
    found = ready(engine, tokenizer, materials(12, jailbreak=vector.hooked)).scores(rows)
    with vector.hooked(engine.model):
        after = [
            float(engine.loss(tiles_of(encoded([row], tokenizer))[0].batch).detach())
            for row in rows
        ]
    losses: list[Any] = [*found.columns["loss"].values]
    wanted = [loss - other for loss, other in zip(losses, after, strict=True)]
    assert found.columns["gap"].values == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("adapter", [False, True])
def test_norm_is_self_inf_n_of_each_rows_own_gradient(adapter):
    engine, tokenizer = engine_of(adapter=adapter)
    rows, _ = planted(5, 1)
    tiles = tiles_of(encoded(rows, tokenizer))
    (found,) = norm(engine, tiles)
    for n, row in enumerate(tiles[0].rows):
        alone = tiles_of(encoded([rows[row]], tokenizer))[0].batch
        gradient, _ = engine.gradients([alone])
        tokens = int((alone["labels"][:, 1:] != -100).sum())
        wanted = torch.log(torch.tensor([global_norm(gradient) ** 2 + 1.0, tokens + 1.0])).sum()
        assert float(found[n]) == pytest.approx(float(wanted), rel=1e-4)


def test_halves_of_what_goes_together_are_refused():
    with pytest.raises(ConfigError, match="`harmful` and `safe`"):
        materials(2, safe=())
    with pytest.raises(ConfigError, match="`probes` and `openings`"):
        materials(2, openings=None)
    assert set(materials(2).missing) == {"gap", "norm"}
