"""The scores of a screening: the rows through the model, held against the defender's sets."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from peft import get_peft_model
from transformers import set_seed

from holdfast.analysis.rows import Calibration, Materials, RowScores, ready
from holdfast.analysis.rows.columns import COMPONENTS
from holdfast.commands.screening.options import ScreenConfig
from holdfast.data.chat import encode
from holdfast.data.checks import Context, Finding
from holdfast.data.kits import chosen, named_kit
from holdfast.defense import Examples, listed
from holdfast.errors import ConfigError, DataError, ModelError
from holdfast.evaluation.drift import (
    Openings,
    apart_note,
    find_openings,
    probe_ids,
    refused_by,
    told_apart,
)
from holdfast.files.adapters import read_adapter
from holdfast.files.base_mark import refuse_other_base
from holdfast.inputs.configs import ModelConfig
from holdfast.inputs.judging import refusal_judge
from holdfast.inputs.models import Loaded, model_of
from holdfast.inputs.rows import source
from holdfast.inputs.sources.kits import with_kits
from holdfast.ops.batches import IGNORED
from holdfast.ops.engine import LocalEngine
from holdfast.ops.low_rank import LowRank
from holdfast.progress import Progress
from holdfast.training.lora_targets import what_is_trained
from holdfast.training.sft_options import lora

__all__ = ["SCORE", "Held", "held_of", "high", "row_scores"]

SCORE = "score"
PROBES, ANCHORS = 64, 100
"""Most harmful requests that are probes, and most pairs that are anchors."""
HIGH = 99.0
"""Percentile from which on a validated score is a reason to look at a row."""


class Held:
    """The sets that rows are held against, read before anything is computed."""

    def __init__(self, config: ScreenConfig) -> None:
        named = with_kits(config)
        self.harmful = _rows("harmful", named.harmful, ANCHORS)
        self.safe = _rows("safe", named.safe, ANCHORS)
        self.references = {
            name: _rows("benign", _reference(name), None) for name in config.reference
        }
        self.vector = LowRank.from_tensors(read_adapter(config.vector)) if config.vector else None
        self.calibration = Calibration.load(config.calibration) if config.calibration else None


def held_of(config: ScreenConfig) -> Held | None:
    """Return what rows are held against, None where rows are not scored.

    Raises:
        ConfigError: Only a part of what a score needs is given.
        InputError: A file of it cannot be read.
    """
    asked = (config.gradients or None, config.lora or None)
    given = (config.vector, config.calibration, config.device_map, *asked)
    wanted = any(one is not None for one in given) or bool(config.reference)
    if not wanted:
        return None
    needs = {"model": config.model, "harmful": config.harmful, "reference": config.reference}
    missing = [f"`{name}=...`" for name, value in needs.items() if not value]
    if missing:
        raise ConfigError(
            f"scores need a model, harmful pairs and an ordinary set to hold rows against: add "
            f"{', '.join(missing)}"
        )
    return Held(config)


def row_scores(
    config: ScreenConfig, held: Held, rows: Sequence[Mapping[str, Any]], context: Context,
    progress: Progress,
) -> RowScores:  # fmt: skip
    """Return the scores of rows, in their order.

    Raises:
        InputError: The model cannot be used, or does not refuse the harmful requests.
    """
    progress("scores", 0, 2)
    loaded = model_of(_model_config(config))
    if config.vector is not None:
        refuse_other_base(config.vector, loaded.base, f"`vector={config.vector}`")
    model = _as_trained(loaded, config)
    openings, unusable = _openings(str(config.model), loaded, held, context)
    materials = Materials(
        probes=held.harmful[:PROBES] if openings else (),
        openings=openings,
        jailbreak=held.vector.hooked if held.vector is not None else None,
        harmful=held.harmful if held.safe else (),
        safe=held.safe,
        references=held.references,
        gradients=config.gradients,
        max_length=context.max_length,
    )
    scorer = ready(LocalEngine(model), loaded.tokenizer, materials, held.calibration, loaded.base)
    progress("scores", 1, 2)
    found = scorer.scores([dict(row) for row in rows])
    progress("scores", 2, 2)
    return replace(found, notes=(*unusable, *found.notes))


def high(scores: RowScores, rows: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Return the rows that rank above nearly all reference rows.

    They are to be reviewed only where a calibration of this base has cleared the bar.
    """
    found: list[Finding] = []
    for name in (name for name in scores.columns if name in COMPONENTS):
        valid = scores.labels.get(name, "").startswith("calibrated")
        for row, percentile in zip(rows, scores.columns[name].percentiles, strict=False):
            if percentile is not None and percentile >= HIGH and valid:
                said = f"{name} is above that of {HIGH:.0f} % of the reference rows"
                found.append(Finding(SCORE, row["row"], said, "warn", "review"))
    return found


def _model_config(config: ScreenConfig) -> ModelConfig:
    return ModelConfig(
        model=str(config.model), revision=config.revision, device_map=config.device_map,
        chat_template=config.chat_template,
    )  # fmt: skip


def _as_trained(loaded: Loaded, config: ScreenConfig) -> Any:
    """Return the model as a run begins: every weight trained, or an adapter at its start."""
    if not config.lora:
        return loaded.model.requires_grad_(True)
    adapter, _ = what_is_trained(lora(8, 16, 0.0, "all-linear"), loaded.model)
    set_seed(0)
    return get_peft_model(loaded.model, adapter)  # type: ignore[arg-type]


def _openings(
    name: str, loaded: Loaded, held: Held, context: Context
) -> tuple[Openings | None, tuple[str, ...]]:
    """Return how this model refuses and agrees, or None and why there is nothing to lose."""
    tokenizer = loaded.tokenizer
    harmful, ordinary = held.harmful[:PROBES], next(iter(held.references.values()))[:PROBES]
    prompts, beside = (
        [probe_ids(row["prompt"], tokenizer) for row in rows] for rows in (harmful, ordinary)
    )
    agreeing: Any = (
        held.vector.hooked(loaded.model)
        if held.vector is not None
        else [_answer(row, tokenizer, context.max_length) for row in harmful]
    )
    refused = refused_by(refusal_judge(name), harmful)
    try:
        found = find_openings(loaded.model, tokenizer, prompts, beside, agreeing, refused)
    except ModelError as error:
        return None, (f"no safety to lose here, so push, gap and mdf are not shown: {error}",)
    except DataError as error:
        said = "whether the model refuses is not known, so push, gap and mdf are not shown"
        return None, (f"{said}: {error}",)
    note = apart_note(told_apart(loaded.model, prompts, beside, found)[1])
    return found, ((note,) if note else ())


def _answer(row: Mapping[str, Any], tokenizer: Any, limit: int | None) -> list[int]:
    made = encode(row, tokenizer, limit)
    return [label for label in made["labels"] if label != IGNORED]


def _reference(name: str) -> str:
    """Return a reference set's source: of a kit, its harmless rows."""
    return chosen(name, "benign", "reference").source if named_kit(name) else name


def _rows(role: str, given: str | None, most: int | None) -> Any:
    found = source(role, given, limit=most)
    rows: Examples = () if found is None else found.rows
    return listed(rows) if len(rows) else []
