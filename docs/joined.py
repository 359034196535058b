"""The bench in parts: what was run later stands in the tables of what was published before.

A worst case is an arm's own; arms of two runs are compared where the attacks, seeds and questions
are the same, which a table tells by its attacks. Each run's times are relative to its own plain
fine-tuning.
"""

from collections.abc import Sequence

from holdfast.results.comparisons import WorstCaseRow, WorstCaseTable
from holdfast.results.records import BEFORE, PLAIN, Arm
from holdfast.results.result import RunResult

__all__ = ["joined"]

REFERENCES = (BEFORE, PLAIN)


def joined(bench: RunResult, later: Sequence[RunResult]) -> RunResult:
    """Return the bench with the arms that ran later; of an arm that ran twice the later one.

    Raises:
        ValueError: A later table's attacks are not those of the bench's of the same scenario.
    """
    arms, tables = list(bench.arms), list(bench.bench.worst) if bench.bench else []
    for result in later:
        new = [arm for arm in result.arms if arm.defense not in REFERENCES]
        again = {_key(arm) for arm in new}
        arms = [arm for arm in arms if _key(arm) not in again] + new
        tables = [_table(table, result) for table in tables]
    summary = bench.bench and bench.bench.model_copy(update={"worst": tables})
    return bench.model_copy(update={"arms": arms, "bench": summary})


def _key(arm: Arm) -> tuple[object, ...]:
    return arm.defense, arm.scenario, arm.p, arm.attack


def _table(table: WorstCaseTable, later: RunResult) -> WorstCaseTable:
    """Return the scenario's table with the later run's rows; as it was where it has none."""
    found = (
        [one for one in later.bench.worst if one.scenario == table.scenario] if later.bench else []
    )
    rows = [row for one in found for row in one.rows if row.defense not in REFERENCES]
    if not rows:
        return table
    if any(_keys(one) != _keys(table) for one in found):
        raise ValueError(f"{later.command}: other attacks than the bench's on {table.scenario}")
    again = {row.defense for row in rows}
    kept: list[WorstCaseRow] = [row for row in table.rows if row.defense not in again]
    return table.model_copy(update={"rows": kept + rows})


def _keys(table: WorstCaseTable) -> set[str]:
    return {attack.model_dump_json() for attack in table.attacks}
