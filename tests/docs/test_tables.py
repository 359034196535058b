"""Worst cases and claims as Markdown: what a README and the cards show of a bench."""

from pathlib import Path

import pytest
from claims_page import claims_table, counted
from tables import (
    held_back_table,
    settings_line,
    settings_table,
    worst_case_tables,
)

from holdfast.claims.judge import ClaimRow
from holdfast.comparisons.worst_case import summarize
from holdfast.defenses import built_in
from holdfast.results.result import RunResult
from tests.synthetic_bench import synthetic_bench

ROOT = Path(__file__).resolve().parents[2]


def rows_of(text):
    return [line for line in text.splitlines() if line.startswith("| ")]


def test_every_compared_arm_has_a_row_with_its_worst_attack_and_its_cost():
    summary = summarize(synthetic_bench().arms)
    text = worst_case_tables(summary)
    assert text.count("| model |") == len(summary.worst)
    assert len(rows_of(text)) == sum(1 + len(table.rows) for table in summary.worst)
    assert "*(control)*" in text
    worst = max(row.hs.value for table in summary.worst for row in table.rows)
    assert f"| {worst:.2f} (" in text


def test_a_card_has_its_own_arms_alone():
    summary = summarize(synthetic_bench().arms)
    name = next(
        row.defense for table in summary.worst for row in table.rows
        if row.defense not in ("before", "none") and "(" not in row.defense
    )  # fmt: skip
    text = worst_case_tables(summary, name)
    firsts = {line.split(" | ")[0].removeprefix("| ") for line in rows_of(text)}
    assert {"model", "before", "plain fine-tuning", name} <= firsts
    assert all(name in first for first in firsts - {"model", "before", "plain fine-tuning"})
    assert worst_case_tables(summary, "no such defense") == ""


def test_claims_say_what_is_reported_beside_the_verdict():
    row = ClaimRow(
        paper="p", claim="c", statement="A | B falls", source="paper", reported="1 to 2",
        verdict="does not hold", reason="+3 points",
    )  # fmt: skip
    text = claims_table([row])
    assert "A \\| B falls | 1 to 2 | **does not hold** | +3 points |" in text
    assert counted([row, row]) == "2 does not hold"


def test_settings_that_are_not_the_defaults_are_told():
    """Fault F8: README and cards did not say that a method ran at another setting than its own."""
    bench = RunResult.load(ROOT / "results" / "bench" / "result.json")
    text = settings_table(bench)
    assert "| `booster` | `lam=0.2` | `lam=5.0` |" in text
    assert "| `constrained_sft` | `scale=0.1` | `scale=1.0` |" in text
    assert "(random" not in text
    assert "subset" not in text
    assert settings_line(bench, "booster") == "The bench ran it at `lam=0.2` (default `lam=5.0`)."
    assert settings_line(bench, "vaccine") == ""


@pytest.mark.parametrize("name", sorted(built_in()))
def test_every_card_tells_at_which_settings_it_ran(name):
    """Fault F8: cards of Booster and constrained SFT were silent on theirs."""
    line = settings_line(RunResult.load(ROOT / "results" / "bench" / "result.json"), name)
    card = (ROOT / "src" / "holdfast" / "defenses" / name / "card.md").read_text()
    assert line in card
    readme = (ROOT / "README.md").read_text()
    assert not line or f"| `{name}` | `" in readme


def test_what_a_task_budget_ruled_out_stands_beside_the_worst_case():
    """Fault F10: README's 100 % came without what the same repair does without its budget."""
    bench = RunResult.load(ROOT / "results" / "bench" / "result.json")
    [line] = [
        row for row in held_back_table(bench.arms, "panacea").splitlines()
        if row.startswith("| panacea | harmful mix: 30%")
    ]  # fmt: skip
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[2].startswith("1.00 (")
    assert cells[4].startswith("ρ 0.24")
    assert cells[5].startswith("ρ 0.5")
    assert cells[6].startswith("0.40 (")
    assert line in (ROOT / "README.md").read_text()
    assert held_back_table(bench.arms, "booster") == ""
