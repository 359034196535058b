"""Limits that a release must hold: how they are written, and exact bounds to hold them against."""

from holdfast.evaluation.limits.exact import lower_bound, p_value, upper_bound
from holdfast.evaluation.limits.looks import delta_at
from holdfast.evaluation.limits.needed import prompts_at_rate, prompts_if_clean
from holdfast.evaluation.limits.paired import Paired
from holdfast.evaluation.limits.requirement import (
    METRICS,
    Metric,
    Requirement,
    parse_requirement,
    parse_requirements,
)
from holdfast.evaluation.limits.states import (
    Counted,
    State,
    Tally,
    state_of,
    worst_state,
)

__all__ = [
    "METRICS", "Counted", "Metric", "Paired", "Requirement", "State", "Tally", "delta_at",
    "lower_bound", "p_value", "parse_requirement", "parse_requirements", "prompts_at_rate",
    "prompts_if_clean", "state_of", "upper_bound", "worst_state",
]  # fmt: skip
