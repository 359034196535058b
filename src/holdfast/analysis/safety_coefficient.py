"""Layer safety coefficients: the share of Panacea's ε in each layer (2501.18100, §5.3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Any

import torch
from torch import Tensor

from holdfast.artifact import Curve
from holdfast.ops.gradients import global_norm
from holdfast.ops.modules import ref_of

__all__ = [
    "Profile", "coefficient", "layer_coefficients", "profile", "root_mean_square", "shown_layers",
]  # fmt: skip


def coefficient(eps: Mapping[str, Tensor]) -> dict[int, float]:
    r"""Return :math:`c_l=\sum_{t\in l}\sum_j|\varepsilon_{t,j}|` per layer, un-normalized."""
    out: dict[int, float] = {}
    for name, tensor in eps.items():
        layer = ref_of(name).layer
        out[layer] = out.get(layer, 0.0) + float(tensor.abs().sum())
    return dict(sorted(out.items()))


def root_mean_square(eps: Mapping[str, Tensor], *, by: str) -> dict[str, float]:
    r"""Return :math:`\sqrt{\sum_j\varepsilon_j^2/n}` per ``"layer"`` or ``"role"``.

    Unlike the coefficient it does not grow with the width of a layer. Ours, not the paper's.
    """
    squares: dict[str, float] = {}
    sizes: dict[str, int] = {}
    for name, tensor in eps.items():
        key = str(getattr(ref_of(name), by))
        squares[key] = squares.get(key, 0.0) + _squared(tensor)
        sizes[key] = sizes.get(key, 0) + tensor.numel()
    return {key: (squares[key] / sizes[key]) ** 0.5 for key in sorted(squares, key=_numbers_first)}


def _squared(tensor: Tensor) -> float:
    wide = tensor.to(torch.float64, copy=True)
    return float(wide.square_().sum())  # In place: an embedding is a large part of a small model.


@dataclass(frozen=True)
class Profile:
    """Where one ε sits: its root mean squares, without the tensors."""

    layers: dict[str, float]
    roles: dict[str, float]


def profile(gradient: Mapping[str, Tensor], radius: float) -> Profile:
    r"""Return the profile of :math:`\rho\,g/\lVert g\rVert_2`; a few numbers instead of an ε."""
    norm = global_norm(gradient)
    factor = radius / norm if norm else 0.0

    def by(key: str) -> dict[str, float]:
        return {k: v * factor for k, v in root_mean_square(gradient, by=key).items()}

    return Profile(by("layer"), by("role"))


def layer_coefficients(eps: Mapping[str, Tensor], single: Sequence[Profile]) -> dict[str, Any]:
    """Return the coefficients as JSON.

    Args:
        eps: The ε that is used.
        single: Profiles of the ε of each harmful batch alone; their spread tells layers from batch
            noise.

    Returns:
        ``layers``: rows of layer, coefficient, rms, and mean and standard deviation of the rms over
        the batches; ``roles``: the same per module type. Layer -1 is what lies outside the layers.
    """
    per_layer, per_role = [s.layers for s in single], [s.roles for s in single]
    rms, by_role = (root_mean_square(eps, by=by) for by in ("layer", "role"))
    layers = [
        {"layer": layer, "coefficient": c, "rms": rms[str(layer)], **_spread(per_layer, str(layer))}
        for layer, c in coefficient(eps).items()
    ]
    roles = [{"role": r, "rms": value, **_spread(per_role, r)} for r, value in by_role.items()]
    return {"layers": layers, "roles": roles, "batches": len(single)}


def shown_layers(rows: Sequence[Mapping[str, Any]]) -> Curve:
    """Return the layers of ``layer_coefficients`` as a report shows them, the paper's sum first."""
    size = "root mean square of ε, ± spread over batches"
    return Curve(
        "Layer safety coefficients",
        "layer",
        tuple(row["layer"] for row in rows),
        {
            "sum of |ε| in the layer": tuple(row["coefficient"] for row in rows),
            size: tuple(row["rms"] for row in rows),
        },
        "Where the perturbation lies. The sum is the paper's and grows with a layer's width; the "
        "root mean square does not.",
        spread={size: tuple(row.get("rms_std") for row in rows)},
    )


def _spread(samples: Sequence[Mapping[str, float]], key: str) -> dict[str, float]:
    values = [s[key] for s in samples]
    if not values:
        return {}
    return {"rms_mean": fmean(values), "rms_std": pstdev(values)}


def _numbers_first(key: str) -> tuple[bool, int, str]:
    number = key.lstrip("-").isdigit()
    return (not number, int(key) if number else 0, key)
