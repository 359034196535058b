"""What is said of a real model: from a made-up result, and from none."""

import json
from functools import cache

import pytest
from choosing import by_moment
from claims_page import claims_page, disagreements
from real_page import (
    NOT_YET,
    card_part,
    column,
    evidence,
    page_parts,
    readme_part,
    real_result,
    which_part,
)
from real_tables import figures_table, question_table, question_words, ranked
from tables import worst_case_tables

from holdfast.claims.judge import ClaimRow, load_judged
from holdfast.comparisons.hardest import answered, hardest
from holdfast.results.comparisons import BenchSummary
from holdfast.results.result import RunResult
from holdfast.results.words import shown
from tests.synthetic_bench import arms
from tests.unit.results.test_published_results import ROOT

FIGURES = {"harmful_score": 0.05, "over_refusal": 0.3, "plain_refusal": 0.02, "kept": 0.8}
ALIGN = {
    "rule": "The one that refuses least.", "limits_met": True, "untuned": FIGURES,
    "tried": [{"name": "r200", "rows": 837, "figures": {**FIGURES, "over_refusal": 0.44}}],
    "seeds": [{"seed": 0, "figures": FIGURES}, {"seed": 1, "figures": FIGURES}],
}  # fmt: skip
TRIED = {"seeds": "3", "hs": "0.2", "over_refusal": "0.1", "fa": "0.81", "usefulness": ""}
SETTINGS = {
    "rule": "The least harm.", "chosen": {"zor": "zor:rho=2"},
    "tried": [
        {"spec": "zor:rho=2", **TRIED}, {"spec": "zor:rho=9", **TRIED, "hs": "0.1", "fa": "0.21"},
    ],
}  # fmt: skip
ANALYSIS = {
    "layers": 30, "modules": [{}] * 210, "seconds": {"gradient": {"all": 4}, "noise": {"all": 61}},
    "spearman": {"logit": 0.71}, "overlap": {"shared": 12, "shared_by_chance": 2.1},
    "patterns": {
        "gradient": {"A": {"claim": "c", "verdict": "holds", "figure": "rho 0.4"}},
        "noise": {"A": {"claim": "c", "verdict": "does not hold", "figure": "rho | 0.1"}},
    },
}  # fmt: skip


@cache
def real() -> RunResult:
    """A result as it is published: of a real model, without answers."""
    made = arms(n=20)
    summary = BenchSummary(hardest=hardest(made))
    return RunResult.of("bench", made, model="/any/where/chat", bench=summary).without_answers()


def rows_of(text: str) -> list[list[str]]:
    """The cells of a table's rows, its head and rule aside."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_nothing_is_said_before_it_is_measured(tmp_path):
    parts = page_parts(tmp_path)
    assert parts["question"] == NOT_YET
    assert {text for name, text in parts.items() if name != "question"} == {""}
    assert readme_part(real_result(tmp_path), "x") == ""
    assert which_part(None) == NOT_YET
    assert column(None, "HS on") == ("", {})


def test_every_arm_under_the_hardest_attack_has_its_figures_from_the_result():
    found = ranked(real())
    assert [arm.defense for arm in found[:2]] == ["before", "none"]
    assert real().bench.hardest.attack == found[1].attack
    assert all(arm.attack == found[1].attack for arm in found[2:])
    rows = rows_of(figures_table(real()))
    assert len(rows) == len(found)
    for arm, row in zip(found, rows, strict=True):
        figures = [arm.figures.get(name) for name in ("hs", "over_refusal", "fa", "usefulness")]
        assert row[1:5] == [shown(one, "share") for one in figures]
    assert [row[-2] for row in rows[:2]] == ["–", "1.00×"]


def test_the_words_are_those_of_the_rule_and_every_method_is_in_one_list():
    found = [arm for arm in ranked(real()) if arm.defenses]
    rows = rows_of(question_table(real()))
    for arm, row in zip(found, rows, strict=True):
        words = answered(arm, real().bench.hardest.third[arm.defense])
        assert [row[2], row[4], row[6], row[7]] == [
            words["hs"], words["fa"], words["usefulness"], f"**{words['all']}**"
        ]  # fmt: skip
    said = question_words(real())
    methods = [arm for arm in found if not arm.is_control]
    listed = [line for line in said.splitlines() if line.startswith("- **")]
    assert all(f" {arm.defense} (" in said or f" {arm.defense}." in said for arm in methods)
    assert len(listed) == len({answered(a, real().bench.hardest.third[a.defense])["all"]
                               for a in methods})  # fmt: skip
    assert "; by the means " in said
    assert "enough to answer" in said


def test_a_plain_model_that_stays_harmless_is_said_to_be_no_attack():
    mild = [
        arm.model_copy(update={"figures": {k: type(v)(0.1, 0.0, 0.2, v.prompts, v.seeds)
                                           for k, v in arm.figures.items()}})
        for arm in real().arms
    ]  # fmt: skip
    assert "nothing to answer" in question_words(real().model_copy(update={"arms": mild}))


def test_the_column_stands_beside_the_organisms_table_alone():
    summary = RunResult.load(ROOT / "bench" / "result.json").bench
    beside = column(real(), "HS on")
    first, *others = worst_case_tables(summary, None, beside).split("\n\n**")
    head, cells = first.splitlines()[2], {row[0]: row[-1] for row in rows_of(first)}
    assert head.endswith("| time | HS on chat |")
    assert cells["plain fine-tuning"] == shown(ranked(real())[1].figures["hs"], "share")
    assert all("HS on" not in table for table in others)
    assert worst_case_tables(summary) == worst_case_tables(summary, None, ("", {}))


def test_a_card_has_its_own_arms_of_the_real_model():
    rows = rows_of(card_part(real(), "swat"))
    assert [row[0] for row in rows] == [
        "aligned, before", "plain fine-tuning", "swat", "swat (random subset) *(control)*",
    ]  # fmt: skip
    assert card_part(real(), "lisa") == card_part(None, "swat") == ""


def test_the_moments_have_the_column_too():
    bench = RunResult.load(ROOT / "bench" / "result.json")
    text = by_moment(bench, column(real(), "HS on"))
    assert text.count("| HS on chat |") == 3
    [line] = [one for one in text.splitlines() if one.startswith("| [swat]") and "+" not in one]
    swat = next(arm for arm in ranked(real()) if arm.defense == "swat")
    assert line.endswith(f"| {shown(swat.figures['hs'], 'share')} |")


def test_what_lies_beside_the_result_is_shown_where_it_is(tmp_path):
    real().save(tmp_path / "result.json")
    (tmp_path / "ag_news").mkdir()
    real().save(tmp_path / "ag_news" / "result.json")
    (tmp_path / "align.json").write_text(json.dumps(ALIGN))
    (tmp_path / "analysis.json").write_text(json.dumps(ANALYSIS))
    (tmp_path / "settings.json").write_text(json.dumps(SETTINGS))
    parts = page_parts(tmp_path)
    assert "| `r200` | 837 | 0.05 | 0.44 | 0.02 | 0.80 |" in parts["alignment"]
    assert "| **does not hold**: rho \\| 0.1 |" in parts["analysis"]
    assert "| `zor:rho=2` | 3 | 0.20 | 0.10 | 0.81 | – | **yes** |" in parts["settings"]
    assert "| `zor:rho=9` | 3 | 0.10 | 0.10 | 0.21 | – |  |" in parts["settings"]
    assert parts["question"].startswith("One model (chat), one aligned base, 5 seeds")
    assert parts["controls"] == ""
    title = "**ag_news** (`results/real/ag_news/`)\n\nPlain fine-tuning there: HS"
    assert parts["others"].startswith(title)
    assert rows_of(parts["others"])[: len(rows_of(parts["question"]))] == rows_of(parts["question"])
    assert parts["others"].endswith(parts["figures"])


def test_the_same_model_aligned_anew_stands_under_its_own_name_on_other_pages():
    first, again = real(), real()
    again.arms[:] = [arm for arm in again.arms if "swat" not in arm.defenses]
    title = "The same model aligned anew"
    assert title in readme_part(first, "x", again)
    assert title in which_part(first, again)
    assert title not in card_part(first, "swat", again)
    assert title not in readme_part(first, "x") + which_part(first)
    other = next(arm.defenses[0] for arm in ranked(again) if arm.defenses)
    assert card_part(first, other, again).count("| aligned, before |") == 2


def test_a_result_without_the_hardest_attack_has_to_be_published_again():
    old = real().model_copy(update={"bench": None})
    with pytest.raises(ValueError, match="publish it again"):
        ranked(old)


def claim(verdict: str, name: str = "c") -> ClaimRow:
    return ClaimRow(
        paper="p", claim=name, statement="it falls", source="paper", reported="", verdict=verdict,
        reason="by 3",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("here", "there", "apart"),
    [
        ("holds", "does not hold", True),
        ("does not hold", "holds in part", True),
        ("holds", "holds in part", False),
        ("holds", "not comparable", False),
        ("not comparable", "does not hold", False),
    ],
)
def test_they_disagree_where_one_holds_and_the_other_does_not(here, there, apart):
    assert bool(disagreements([claim(here)], [claim(there)])) is apart
    assert not disagreements([claim(here)], [claim(there, "another")])


def test_the_page_of_claims_has_both_verdicts_and_says_where_they_part():
    ours = load_judged(ROOT / "claims")
    alone = claims_page(ours)
    assert alone == (ROOT.parent / "docs" / "claims.md").read_text() or "real model" not in alone
    other = [
        paper.model_copy(update={"claims": [
            one.model_copy(update={"verdict": "does not hold", "reason": "It rose."})
            for one in paper.claims
        ]})
        for paper in ours
    ]  # fmt: skip
    text = claims_page(ours, other)
    held = sum(one.verdict in ("holds", "holds in part") for p in ours for one in p.claims)
    assert f"{held} hold, at least in part, on one side and do not on the other:" in text
    assert text.count("\n- *") == held
    assert "| **holds** | **does not hold** |" in text
    assert "*Real model:* It rose. |" in text


def test_fewer_than_five_seeds_are_told_on_the_benchs_own_page_alone(tmp_path):
    found = real()
    few = [arm.model_copy(update={"runs": arm.runs[:4]}) for arm in found.arms]
    for name, own in (("whole", found.arms), ("few", [found.arms[0], *few[1:]])):
        (tmp_path / name).mkdir()
        found.model_copy(update={"arms": own}).save(tmp_path / name / "result.json")
    assert evidence(tmp_path / "whole") is not None
    assert evidence(tmp_path / "few") is None
    assert "**A first look" in page_parts(tmp_path / "few")["question"]
    assert "**A first look" not in page_parts(tmp_path / "whole")["question"]


def test_an_arm_with_fewer_seeds_than_others_is_told_on_the_benchs_own_page_alone(tmp_path):
    found = real()
    late = ranked(found)[-1]
    assert late.defenses
    arms = [
        arm.model_copy(update={"runs": arm.runs[:2]}) if arm is late else arm for arm in found.arms
    ]
    found.model_copy(update={"arms": arms}).save(tmp_path / "result.json")
    told = evidence(tmp_path)
    assert told is not None
    assert len(told.arms) == len(found.arms) - 1
    assert (late.defense, late.attack) not in [(arm.defense, arm.attack) for arm in told.arms]
    parts = page_parts(tmp_path)
    assert "arms whose name tells their seeds" in parts["question"]
    assert "(2 seeds)" in parts["figures"] + parts["attacks"]
    assert "(2 seeds)" not in readme_part(told, "docs/real_bench.md")
