"""The probes of a tuning run: which rows they are, what acts on them, and what is told of them."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from holdfast.artifact import Artifact
from holdfast.commands.several.ranks import Ranks
from holdfast.commands.tuning.drift_blocks import drift_report
from holdfast.data.splits import prompt_key
from holdfast.errors import DataError
from holdfast.evaluation.drift import (
    Openings,
    Probes,
    apart_note,
    declining,
    find_openings,
    probe_ids,
    refuse_unrefusing,
    refused_by,
    told_apart,
)
from holdfast.evaluation.drift.calibration import Calibration
from holdfast.evaluation.drift.probed import DRIFT_FILE, drift_document, probed_in
from holdfast.evaluation.drift.probes import answer_ids
from holdfast.files.whole import write_whole
from holdfast.inputs.judging import refusal_judge
from holdfast.inputs.options.watch_options import WatchOptions
from holdfast.inputs.read import Inputs
from holdfast.training.steering.safety_stop import SafetyStop
from holdfast.training.steering.steer import Steer
from holdfast.training.steering.watch import Acting, DriftWatch

__all__ = ["Watched", "watch_drift"]

FEWEST, MOST = 8, 64
"""Harmful prompts of a probe, at least and at most; ours."""
TRAINED_ON = ("safe", "alignment")
"""The defender's rows whose answers are learned: their prompts are no probes."""


class Watched:
    """One run's probes, and what was made of them."""

    def __init__(self, watch: DriftWatch, probes: Probes, acting: Sequence[Acting]) -> None:
        self.watch, self.probes = watch, probes
        self.stop = next((one for one in acting if isinstance(one, SafetyStop)), None)
        self.steer = next((one for one in acting if isinstance(one, Steer)), None)

    def save(self, folder: Path) -> None:
        """Write the looks and the hashes of what was asked beside the model; no text of it."""
        told = drift_document(self.probes, self.watch.readings, probed_in(folder))
        write_whole(folder / DRIFT_FILE, json.dumps(told, indent=1) + "\n")

    def report(self) -> Artifact:
        """Return what the report shows."""
        return Artifact("drift", report=drift_report(self.watch.readings, self.stop, self.steer))


def watch_drift(trainer: Any, inputs: Inputs, ranks: Ranks) -> None:
    """Add the probes that the user asked for; ``trainer.drift`` is what they found.

    Of several processes the first alone asks the judge, and all look with what it has found.

    Raises:
        DataError: Too few harmful prompts are left, or the fit is of another base.
        ModelError: The model does not refuse.
        ConfigError: The fit cannot stop a run, or there is nothing to steer.
    """
    config = inputs.config
    if not isinstance(config, WatchOptions) or config.watch is None:
        return
    known = None if config.watch_fit is None else Calibration.load(config.watch_fit)
    if known is not None and config.watch_fit is not None:
        known.refuse_other(inputs.base, config.watch_fit)
    probes, note = _probes(trainer.model, inputs, known, ranks)
    if note:
        trainer._holdfast_say(note)
    acting = _acting(config, inputs, known)
    watch = DriftWatch(trainer, probes, config.watch, acting)
    trainer.add_callback(watch)
    trainer.drift = Watched(watch, probes, acting)


def _acting(config: WatchOptions, inputs: Inputs, known: Calibration | None) -> list[Acting]:
    found: list[Acting] = []
    if config.safety_stop is not None and known is not None:
        found.append(SafetyStop(known.fit, config.safety_stop, action=config.stop_action))
    if config.steer is not None:
        (able,) = (one for one in inputs.defenses if one.steerable is not None)
        found.append(Steer(able, config.steer))  # type: ignore[arg-type]
    return found


def _probes(
    model: Any, inputs: Inputs, known: Calibration | None, ranks: Ranks
) -> tuple[Probes, str]:
    """Return the probes, after a look that the model has refusals to lose, and a note or none."""
    tokenizer, own = inputs.examiner.tokenizer, inputs.defender
    harmful = _unlearned(inputs)
    task = [dict(inputs.rows[n]) for n in range(min(MOST // 2, len(inputs.rows)))]
    safe = _first(own.get("lookalike"), MOST // 2)
    harmless = [*_first(own.get("benign"), MOST), *safe] or task
    openings, note = ranks.of_the_first(lambda: _openings(model, inputs, known, harmful, harmless))
    return Probes.of(tokenizer, openings, harmful, safe, task), note


def _openings(
    model: Any,
    inputs: Inputs,
    known: Calibration | None,
    harmful: Sequence[Any],
    harmless: Sequence[Any],
) -> tuple[Openings, str]:
    """Return how the model refuses and agrees, which a judge may be asked, and a note or none."""
    tokenizer = inputs.examiner.tokenizer
    beside = [probe_ids(row["prompt"], tokenizer) for row in harmless]
    asked = [probe_ids(row["prompt"], tokenizer) for row in harmful]
    refused = refused_by(refusal_judge(inputs.config.model, inputs.examiner.judges), harmful)
    if known is not None:
        openings = known.openings
        declines = partial(declining, model, tokenizer, asked, refused)
        refuse_unrefusing(model, asked, beside, openings, declines)
    else:
        agreeing = [answer_ids(row, tokenizer) for row in harmful]
        openings = find_openings(model, tokenizer, asked, beside, agreeing, refused)
    return openings, apart_note(told_apart(model, asked, beside, openings)[1])


def _unlearned(inputs: Inputs) -> list[Any]:
    """Return the harmful rows whose prompts nobody learns an answer to, and no question asks."""
    taken = {prompt_key(row) for row in inputs.rows}
    for role in TRAINED_ON:
        taken |= {prompt_key(row) for row in inputs.defender.get(role, ())}
    taken |= {prompt_key({"prompt": item.prompt}) for item in inputs.examiner.items}
    harmful = [dict(row) for row in inputs.defender["harmful"] if prompt_key(row) not in taken]
    if len(harmful) < FEWEST:
        raise DataError(
            f"`watch` looks at harmful requests that no row teaches and no question asks, and "
            f"`harmful` has {len(harmful)} of them; give {FEWEST} or more"
        )
    return harmful[:MOST]


def _first(rows: Any, count: int) -> list[Any]:
    return [] if rows is None else [dict(rows[n]) for n in range(min(count, len(rows)))]
