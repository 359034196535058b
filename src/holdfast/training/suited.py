"""What a model *is*, looked at before step 0, so that no defense acts on something else."""

from collections.abc import Sequence

from torch import nn

from holdfast.defense import Capability, Defense
from holdfast.errors import ModelError
from holdfast.ops.adapter_facts import adaptations

__all__ = ["refuse_unsuited"]

_OF_WEIGHTS = frozenset({Capability.EDITS_WEIGHTS, Capability.EXTRA_BACKWARD})


def refuse_unsuited(defenses: Sequence[Defense], model: nn.Module) -> None:
    """Raise where a defense that is on would not be exact on this model.

    Raises:
        ModelError: Names the defense, what the model is, and a way out.
    """
    for defense in defenses:
        if getattr(defense, defense.card.strength) == defense.card.off:
            continue
        if defense.needs() & _OF_WEIGHTS:
            _check_adapters(defense.card.name, model)
        defense.check_model(model)


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
