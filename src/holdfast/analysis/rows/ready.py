"""A scorer made ready for one model: direction, step, anchors and reference scores, each once."""

from dataclasses import replace
from typing import Any

from holdfast.analysis.rows.calibration import Calibration, template_hash
from holdfast.analysis.rows.components.push import direction, step_length
from holdfast.analysis.rows.components.states import depths, last_states
from holdfast.analysis.rows.components.tiles import Tile, encoded, stacked, tiles_of
from holdfast.analysis.rows.materials import Materials
from holdfast.analysis.rows.references import References
from holdfast.analysis.rows.score import Scorer, padding
from holdfast.analysis.rows.soundness import check_sides, fit_their_requests, unfit_answers
from holdfast.defense import Examples, listed
from holdfast.errors import DataError
from holdfast.evaluation.drift import probe_ids
from holdfast.files.base_mark import BaseMark
from holdfast.ops.engine import Engine

__all__ = ["NO_SAFETY", "ready"]

NO_SAFETY = "no safety to lose here: this model does not lean to refusing the harmful prompts"
_TRIED = 4
"""Tiles that t is chosen on."""


def ready(
    engine: Engine,
    tokenizer: Any,
    materials: Materials,
    calibration: Calibration | None = None,
    base: BaseMark | None = None,
) -> Scorer:
    """Return a scorer of this model.

    Args:
        engine: The engine of the model as the user's run begins: its adapter on it, if it trains
            one, and what is trained taking gradients, in float32.
        tokenizer: Its tokenizer, with the training's chat template.
        materials: Probes, anchors, references.
        calibration: What is known of the scores on some base.
        base: The mark of this model's base, made before an adapter was put on it; without one a
            calibration says nothing.

    Raises:
        DataError: A reference or an anchor has no answer token, or the anchors' sides are swapped.
        ModelError: The lead does not hang on what is trained, or rows cannot be rendered.
        RunError: The pushes are not steady in this precision.
    """
    notes = [f"{name} is not shown: {why}" for name, why in materials.missing.items()]
    found = Scorer(engine, tokenizer, materials, depths(engine.model))
    if materials.openings is not None:
        prompts = [probe_ids(row["prompt"], tokenizer) for row in listed(materials.probes)]
        toward = direction(engine, prompts, materials.openings, padding(tokenizer))
        if toward.lead > 0:
            step = step_length(engine, _tried(found), toward.unit)
            found = replace(found, toward=toward, step=step)
            notes += _sound(found)
        else:
            notes.append(f"{NO_SAFETY} (lead {toward.lead:.2f}); push and gap are not shown")
            found = replace(found, materials=replace(materials, jailbreak=None))
    found = replace(found, **_held_against(found))
    found = replace(found, references=_reference_scores(found))
    said, reason = _calibrated(found, calibration, base)
    return replace(found, notes=(*notes, *reason), **said)


def _sound(scorer: Scorer) -> list[str]:
    """Hold the anchors against a model that refuses; return what is to be said of them."""
    given = scorer.materials
    if not len(given.harmful):
        return []
    harmful, safe = (
        [v for v in scorer.values(rows).values["loss"] if v is not None]
        for rows in (given.harmful, given.safe)
    )
    check_sides(harmful, safe)
    said = unfit_answers(fit_their_requests(scorer.engine, scorer.tokenizer, given.harmful))
    return [said] if said else []


def _tried(scorer: Scorer) -> list[Tile]:
    """Return tiles to choose t on: of the general reference, or of what else has answers."""
    given = scorer.materials
    rows = next(iter(given.references.values()), given.harmful or given.probes)
    tiles = _tiles(scorer, rows)
    return tiles[:: max(1, len(tiles) // _TRIED)][:_TRIED]


def _held_against(scorer: Scorer) -> dict[str, Any]:
    """Return the anchors' states and the mean that states are centered on."""
    given = scorer.materials
    general = next(iter(given.references.values()), None)
    center = None if general is None else _states(scorer, general).mean(0)
    if not len(given.harmful):
        return {"center": center}
    harmful, safe = (_states(scorer, rows) for rows in (given.harmful, given.safe))
    if center is None:  # The anchors' own middle, both sides weighing the same.
        center = (harmful.mean(0) + safe.mean(0)) / 2
    return {"anchors": (harmful, safe), "center": center}


def _states(scorer: Scorer, rows: Examples) -> Any:
    tiles = _tiles(scorer, rows)
    return stacked(tiles, last_states(scorer.engine, tiles, scorer.layers))


def _tiles(scorer: Scorer, rows: Examples) -> list[Tile]:
    most = scorer.materials.max_length
    given = encoded(rows, scorer.tokenizer, most)
    found = tiles_of(given, padding(scorer.tokenizer))
    if not found:
        raise DataError(
            f"none of {len(given)} rows that scores are held against has an answer token within "
            f"`max_length={most}`: give longer rows a higher limit, the training's own"
        )
    return found


def _reference_scores(scorer: Scorer) -> dict[str, References]:
    """Return each component's scores of every reference set."""
    given = scorer.materials.references
    by_set = {name: scorer.values(rows).values for name, rows in given.items()}
    components = next(iter(by_set.values()), {})
    return {
        component: References(
            {
                name: tuple(v for v in values[component] if v is not None)
                for name, values in by_set.items()
            }
        )
        for component in components
    }


def _calibrated(
    scorer: Scorer, calibration: Calibration | None, base: BaseMark | None
) -> tuple[dict[str, Any], list[str]]:
    """Return what a calibration of this very base adds, and why it adds nothing."""
    if calibration is None:
        return {}, []
    if base is None:
        return {}, ["the base's fingerprint is not known, so its calibration is not used"]
    reason = calibration.differs(base, template_hash(scorer.tokenizer))
    if reason:
        return {}, [reason]
    kept = {
        component: References({name: tuple(own) for name, own in sets.items()})
        for component, sets in calibration.quantiles.items()
    }
    references = scorer.references or kept
    labels = calibration.labels()
    return {"labels": labels, "combined": calibration.combined, "references": references}, []
