"""Drift: how far tuning has moved a model's refusals, measured without letting it answer."""

from holdfast.evaluation.drift.lead import lead, lead_batches, lead_of_scores, probe_loss
from holdfast.evaluation.drift.openings import Openings
from holdfast.evaluation.drift.prompts import probe_ids
from holdfast.evaluation.drift.scores import opening_scores, uncached_scores

__all__ = [
    "Openings", "lead", "lead_batches", "lead_of_scores", "opening_scores", "probe_ids",
    "probe_loss", "uncached_scores",
]  # fmt: skip
