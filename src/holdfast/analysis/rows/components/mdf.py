"""mdf: what a data set as a whole would do to refusals, read from one steered pass.

The set's mean state at each row's last token, less that of reference rows, is added to the base's
activations at three depths; then the refusal lead is measured again (after MDF, arXiv 2602.04735,
which measures behavior; centering, depths and the lead are ours).
"""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from holdfast.analysis.rows.components.states import moved
from holdfast.errors import InputError

__all__ = ["ALPHA", "mdf"]

ALPHA = 1.0
"""How much of the mean state is added."""


def mdf(
    model: nn.Module,
    layers: Sequence[int],
    states: Tensor,
    center: Tensor,
    lead: Callable[[], float],
    alpha: float = ALPHA,
) -> float:
    """Return the change of the mean refusal lead, nats per token; below 0 refusals fall.

    Args:
        model: The base model.
        layers: The layers that the states are of; the last of them is not moved.
        states: Of the set's rows, shape (rows, layers, hidden).
        center: Mean state of reference rows, shape (layers, hidden).
        lead: Measures the mean lead on the probe prompts.
        alpha: Share of the mean state that is added, above 0.

    Raises:
        InputError: ``alpha`` is not above 0.
    """
    if not alpha > 0:
        raise InputError(f"`alpha={alpha:g}` adds nothing to the activations; give more than 0")
    mean = alpha * (states.mean(0) - center)
    inner = list(layers[:-1]) or list(layers)
    before = lead()
    with moved(model, {layer: mean[n] for n, layer in enumerate(inner)}):
        return lead() - before
