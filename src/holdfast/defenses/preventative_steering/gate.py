"""The check before the steps: does the shift explain harm, and nothing else?"""

from collections.abc import Sequence

from holdfast.artifact import Curve
from holdfast.defenses.attachments import GateFigures
from holdfast.errors import GateError


def check_shift(
    figures: GateFigures, min_drop: float, max_benign_kl: float, alpha: float, layers: Sequence[int]
) -> None:
    """Raise ``GateError`` with all figures where one is beyond its threshold."""
    kl = 0.0 if figures.benign_kl is None else figures.benign_kl
    if figures.harmful_nll_off - figures.harmful_nll > min_drop and kl <= max_benign_kl:
        return
    raise GateError(
        f"the steering vector is not fit: with it on at alpha={alpha:g} in layers {list(layers)}, "
        f"held-out harmful NLL is {figures.harmful_nll:.3f} nats per token (off: "
        f"{figures.harmful_nll_off:.3f}; it has to fall by more than {min_drop:g}) and benign KL "
        f"{figures.kl_told()} (at most {max_benign_kl:g}); give a smaller alpha, other "
        "layers or more rows, or move the thresholds"
    )


def curve(nll: Sequence[float], layers: Sequence[int]) -> Curve:
    """Return the loss that each layer's shift leaves, as a report draws it."""
    return Curve(
        "Harmful loss by the layer that is shifted",
        "layer",
        tuple(float(n) for n in range(len(nll))),
        {"held-out harmful NLL at α = 1, nats per token": tuple(nll)},
        "Before tuning. The least is chosen where no layers are given.",
        float(layers[0]) if len(layers) == 1 else None,
    )
