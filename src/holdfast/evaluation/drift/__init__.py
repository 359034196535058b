"""Drift: how far tuning has moved a model's refusals, measured without letting it answer."""

from holdfast.evaluation.drift.finding import find_openings
from holdfast.evaluation.drift.lead import lead, lead_batches, lead_of_scores, probe_loss
from holdfast.evaluation.drift.openings import Openings
from holdfast.evaluation.drift.probes import Probes, prompt_sha256
from holdfast.evaluation.drift.prompts import probe_ids
from holdfast.evaluation.drift.reading import Reading
from holdfast.evaluation.drift.refusing import (
    apart_note,
    declining,
    refuse_unrefusing,
    refused_by,
    told_apart,
)
from holdfast.evaluation.drift.scores import opening_scores, paired_scores, uncached_scores

__all__ = [
    "Openings", "Probes", "Reading", "apart_note", "declining", "find_openings", "lead",
    "lead_batches", "lead_of_scores", "opening_scores", "paired_scores", "probe_ids", "probe_loss",
    "prompt_sha256", "refuse_unrefusing", "refused_by", "told_apart", "uncached_scores",
]  # fmt: skip
