"""Whether a trainer's loss asks the tuned model itself as its reference, its adapter switched off.

A preference loss compares the model with what it was before. With an adapter TRL keeps no copy and
runs the same model once more without it. What is attached stands in that pass as well and cancels
out of the loss: the harm would be learned as if nothing were attached.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from holdfast.defense import Capability, Defense
from holdfast.ops.adapter_facts import adaptations
from holdfast.ops.randomness import isolated_rng
from holdfast.ops.recompute import inference_mode_flags
from holdfast.training import compat
from holdfast.training.looks.counters import uncounted
from holdfast.training.looks.passes import users_autocast

__all__ = ["shared_reference"]

_STANDS_IN_IT = frozenset({Capability.ATTACHMENT, Capability.HOOKS})


def shared_reference(trainer: Any, defenses: Sequence[Defense]) -> dict[Capability, str]:
    """Return what is missing where the reference is the model that a defense attaches to, and why.

    The loss of two of the user's rows is tried. Nothing is counted, no random number drawn, and
    what the loss sets on its trainer is put back.
    """
    own = trainer.compute_loss_func is not None or not compat.is_stock(trainer, "compute_loss")
    if compat.knows_rows(trainer) and not own:
        return {}
    if not any(d.needs() & _STANDS_IN_IT for d in defenses if not d.is_off):
        return {}
    if not _passes_without(trainer):
        return {}
    why = (
        f"{compat.own_class(trainer).__name__} takes the model with its adapter switched off as "
        "the reference, and what is attached would stand there too and cancel out; take a copy of "
        "the model before tuning as the reference (of TRL: ref_model=, or "
        "precompute_ref_log_probs=True)"
    )
    return dict.fromkeys(_STANDS_IN_IT, why)


def _passes_without(trainer: Any) -> bool:
    """Tell whether the loss runs the model while every trained adapter is out of the pass."""
    model, rows = trainer.model, compat.first_rows(trainer, 2)
    facts = adaptations(model)
    trained = {id(p) for fact in facts for p in fact.parameters if p.requires_grad}
    if not rows or not trained:
        return False
    without = list[bool]()

    def look(*_: Any) -> None:
        on = {id(p) for fact in adaptations(model) if fact.active for p in fact.parameters}
        without.append(not on & trained)

    watched, kept = _entrance(model).register_forward_pre_hook(look), dict(vars(trainer))
    try:
        with uncounted(trainer), isolated_rng(0), inference_mode_flags(model):
            batch = trainer._prepare_inputs(compat.collated(trainer, rows))
            with torch.no_grad(), users_autocast(trainer):
                trainer.compute_loss(model, batch)
    except Exception:  # noqa: BLE001  # A loss that fails is the trainer's own error to tell.
        return any(without)
    finally:
        watched.remove()
        vars(trainer).clear()  # A counter, or a mean that runs along, is of the user's steps.
        vars(trainer).update(kept)
    return any(without)


def _entrance(model: Any) -> nn.Module:
    """Return a module that every pass goes through, also one that leaves PEFT's own shell out."""
    found = getattr(model, "get_input_embeddings", lambda: None)()
    return found if isinstance(found, nn.Module) else model
