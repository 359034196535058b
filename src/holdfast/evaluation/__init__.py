"""Evaluation: generation, judges, metrics and the statistics that make a number trustworthy."""

from holdfast.evaluation.generate import generate
from holdfast.evaluation.measure import Measurement, evaluate, judge_answers
from holdfast.evaluation.metrics import Item, Outcome, Verdict

__all__ = ["Item", "Measurement", "Outcome", "Verdict", "evaluate", "generate", "judge_answers"]
