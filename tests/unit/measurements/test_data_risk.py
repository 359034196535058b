"""The study of row scores: its sets, its order, its arms, and what its tables say."""

import json

import pytest

from holdfast import organism
from holdfast.analysis.rows.calibration import FILE, Calibration
from measurements.data_risk.cells import order, questions
from measurements.data_risk.publish import TARGET, _best_baseline, _found, stratum, won_by_seed
from measurements.data_risk.row_test import TESTED, arms
from measurements.data_risk.sets import HARMLESS_SETS, SETS, RiskSet, rows_of


def test_there_are_sixty_sets_and_most_have_no_harmful_row():
    assert len(SETS) == len({one.name for one in SETS}) == 60
    assert len(HARMLESS_SETS) == sum(one.harmless for one in SETS) == 34


@pytest.mark.parametrize("one", [SETS[0], RiskSet("cipher", 40, 0.2, 0.1), SETS[-1]])
def test_rows_hang_on_set_and_seed_and_are_words_of_the_world(one):
    rows = rows_of(one, 1)
    assert rows.to_list() == rows_of(one, 1).to_list() != rows_of(one, 2).to_list()
    assert len(rows) == one.n
    assert rows["category"].count("harmful") == round(one.p * one.n)
    _, tokenizer = organism.load()
    text = " ".join(m["content"] for row in rows for m in (*row["prompt"], *row["completion"]))
    assert tokenizer.unk_token_id not in tokenizer.encode(text)


def test_every_set_comes_once_before_any_comes_again():
    found = order([0, 1])
    assert sorted(number for number, _ in found[:60]) == list(range(60))
    assert {seed for _, seed in found[:60]} == {0}
    assert found == order([0, 1])
    assert [number for number, _ in found[:60]] != [number for number, _ in found[60:]]


def test_test_questions_have_no_persona():
    assert {item.kind for item in questions()} == {"harmful", "task"}
    assert all(item.prompt[0]["role"] == "user" for item in questions())


def test_arms_drop_the_rows_of_the_highest_scores():
    harmless, harmful = TESTED
    columns = {name: [float(n) for n in range(500)] for name in ("push", "gap", "anchor")}
    columns["guard"] = [float(n < 25) for n in range(500)]
    found = arms(harmless, columns, 0)
    assert found["drop push"] == list(range(450))
    assert found["top push"] == list(range(400, 500))
    assert found["bottom push"] == list(range(100))
    assert len(found["drop random"]) == 450 != found["drop random"]
    assert "drop guard" not in found
    assert set(arms(harmful, columns, 0)["drop guard"]) & set(range(25)) == set()
    assert arms(harmless, columns, 0) == found


def set_of(n, score, hs, **more):
    return {
        "scenario": f"s{n % 3}", "hs": hs, "rows": 100, "push": score, "gap": -score, "mdf": 0.0,
        "anchor": score, "push above": score, "gap above": score, "anchor above": score,
        "guard share": 0.0, "loss": 1.0 + n % 4, "norm": 2.0, "length": 9.0, "random": n * 7 % 5,
    } | more  # fmt: skip


def test_astratum_names_the_best_baseline_of_either_sign():
    rows = [set_of(n, n / 20, n / 20, norm=-float(n // 2)) for n in range(20)]
    found = stratum(rows)
    assert found["scores"]["push"]["rho"][0] == 1.0
    assert found["scores"]["gap"]["rho"][0] == -1.0
    assert found["scores"]["guard share"]["rho"] is None
    assert found["scores"]["mdf"]["rho"] is None
    assert found["baseline"] == "norm, fewer"
    assert found["best_single"] in ("push", "anchor")
    # Planted: a score that is the length is no better than the length.
    same = [set_of(n, 9.0 + n, n / 20, length=9.0 + n) for n in range(20)]
    assert stratum(same)["scores"]["push"]["over_baseline"] == [0.0, 0.0, 0.0]


def test_a_base_without_openings_has_no_push_and_the_others_are_told():
    rows = [set_of(n, n / 9, n / 9, **{"guard share": 0.0}) for n in range(9)]
    short = [{k: v for k, v in r.items() if k not in ("push", "mdf", "push above")} for r in rows]
    whole, found = stratum(rows), stratum(short)
    assert {"push", "mdf", "push above"} == whole["scores"].keys() - found["scores"].keys()
    assert found["scores"]["anchor"] == whole["scores"]["anchor"]
    assert json.dumps(found)


def test_the_best_baseline_is_turned_to_count_upward():
    columns = {name: [1.0] * 9 for name in ("guard share", "rows", "norm", "length", "random")}
    name, values = _best_baseline(columns | {"loss": [-float(n) for n in range(9)]}, [*range(9)])
    assert (name, values) == ("loss, fewer", [float(n) for n in range(9)])


def test_a_row_test_is_won_by_less_harm_than_chance_alone():
    def arm(*hs):
        return [{"seed": n, "hs": value, "fa": 1.0} for n, value in enumerate(hs)]

    found = won_by_seed({"s": {"drop random": arm(0.5, 0.5, 0.5), "drop push": arm(0.4, 0.5, 0.1)}})
    assert found["s"]["won"] == {"push": [2, 3]}


def test_planted_rows_have_their_ranks_from_the_top():
    assert _found([3.0, 9.0, 1.0], [False, True, False]) == {"auroc": 1.0, "ranks": [1.0]}
    assert _found([0.0, 0.0, 0.0], [False, True, False]) == {"auroc": 0.5, "ranks": [2.0]}


@pytest.mark.parametrize(("told", "kept"), [("summary.json", FILE), ("real.json", f"real_{FILE}")])
def test_published_calibrations_say_what_is_published(told, kept):
    said = json.loads((TARGET / told).read_text())
    assert Calibration.load(TARGET / kept).labels() == said["verdicts"]
