"""Worst cases and claims as Markdown: what a README and the cards show of a bench."""

from tables import claims_table, counted, worst_case_tables

from holdfast.claims.judge import ClaimRow
from holdfast.comparisons.worst_case import summarize
from tests.synthetic_bench import synthetic_bench


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
