"""What a model *is*, looked at before step 0, so that no defense acts on something else."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from holdfast.defense import Capability, Defense, Run
from holdfast.errors import HoldfastError, ModelError
from holdfast.ops.adapter_facts import adaptations
from holdfast.ops.randomness import isolated_rng
from holdfast.training.compat import templating
from holdfast.training.compose import refuse_missing
from holdfast.training.distributed.engines import engine_for
from holdfast.training.looks.defender_rows import DefenderRows
from holdfast.training.looks.passes import recompute_early, users_autocast
from holdfast.training.looks.users_loss import other_loss
from holdfast.training.looks.users_rows import packed_rows, refuse_replaced_loader, told_apart
from holdfast.training.trace import Trace

__all__ = ["refuse_unsuited", "suited_run"]

_OF_WEIGHTS = frozenset({Capability.EDITS_WEIGHTS, Capability.EXTRA_BACKWARD})


def refuse_unsuited(defenses: Sequence[Defense], model: nn.Module) -> None:
    """Raise where a defense that is on would not be exact on this model.

    Raises:
        ModelError: Names the defense, what the model is, and a way out.
    """
    for defense in _on(defenses):
        if defense.needs() & _OF_WEIGHTS:
            _check_adapters(defense.card.name, model)
        try:
            defense.check_model(model)
        except HoldfastError as error:
            if defense.card.name in str(error):
                raise
            raise type(error)(f"{defense.card.name}: {error}") from error


def suited_run(trainer: Any, run: Run, defenses: Sequence[Defense], trace: Trace) -> Run:
    """Return the run of a trainer with everything looked at that can be before step 0.

    Args:
        trainer: The trainer, whose rows and options are all there by now.
        run: Its run.
        defenses: Its defenses.
        trace: Where it is counted what became of the defenders' rows.

    Raises:
        ConflictError: The user's loss or rows are not what a defense needs.
        DataError: Of a defender's data set nothing is left.
        ModelError: A defense would not be exact on the model.
    """
    refuse_unsuited(defenses, run.model)  # Another adapter may be active by now.
    if _on(defenses):
        recompute_early(trainer)
    engine = engine_for(trainer, partial(users_autocast, trainer))
    missing = packed_rows(trainer)
    if any(Capability.NLL in defense.needs() for defense in _on(defenses)):
        missing |= other_loss(trainer, run)
    refuse_missing(_on(defenses), missing)
    refuse_replaced_loader(trainer, _on(defenses))
    limit = getattr(trainer.args, "max_length", None)
    told = partial(
        DefenderRows,
        defenses=defenses,
        tokenizer=trainer.processing_class,
        limit=limit,
        say=run.say,
        trace=trace,
    )
    rows, own = told(run.prepare), run.own and (told(run.own[0]), run.own[1])
    with isolated_rng(run.seed):
        (own[0] if own else rows).look()
    asks = templating(trainer)[0]
    found = {"engine": engine, "prepare": rows, "own": own, "tokenizer": asks}
    return replace(run, collate=told_apart(run.collate), **found)


def _on(defenses: Sequence[Defense]) -> list[Defense]:
    return [d for d in defenses if not d.is_off]


def _check_adapters(who: str, model: nn.Module) -> None:
    """Raise where a tensor that is trained has no part in the forward pass."""
    for fact in adaptations(model):
        if not any(p.requires_grad for p in fact.parameters):
            continue
        if not fact.active or fact.merged:
            state = "merged into its base" if fact.merged else "not active"
            raise ModelError(
                f"{who}: the adapter {fact.adapter!r} is trained and {state}, so its tensors have "
                f"no part in the forward pass ({fact.module}); activate it alone with "
                "model.set_adapter(NAME), unmerged, before tuning"
            )
