"""Panacea in another metric and in several steps: ours, and off unless it is asked for."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from holdfast.defense import in_range, need_data
from holdfast.errors import ConfigError
from holdfast.ops.engine import Batch, Engine
from holdfast.ops.fisher import stepped, summed
from holdfast.ops.gradients import Tensors
from holdfast.progress import Progress, counted, silent

__all__ = ["OURS", "refuse_metric", "stepped_ascent"]

OURS = ("metric", "damping", "steps")
"""Fields that the paper does not have; a result of the paper's own step does not name them."""


def stepped_ascent(
    engine: Engine,
    harmful: Sequence[Batch],
    fisher: Mapping[str, Tensor] | None,
    setting: tuple[float, int, float],
    progress: Progress = silent,
) -> Tensors:
    r"""Return :math:`\sum_k \varepsilon_k`, steps of :math:`\rho/K` up the loss where each stands.

    .. math:: \varepsilon_k = \frac{\rho}{K}\,\frac{u_k}{\lVert u_k\rVert_2},\quad
        u_k = \frac{\nabla h(w + \varepsilon_1 + \dots + \varepsilon_{k-1})}{F + \delta}

    With K = 1 and without F, or with :math:`d \to \infty`, it is the paper's eq. 2.

    Args:
        engine: The engine of the model at :math:`w`.
        harmful: Batches of the defender's harmful pairs.
        fisher: F by the names of the trained tensors; None for the Euclidean metric.
        setting: ρ, the number K of steps, and d, the damping in means of F.
        progress: Told of each step.
    """
    rho, count, damping = setting
    lengths = counted(progress, "panacea: steps", [rho / count] * count)
    return summed(stepped(engine, lambda _: engine.gradients(harmful)[0], fisher, damping, lengths))


def refuse_metric(defense: Any, *, off: bool) -> None:
    """Raise ``ConfigError`` where metric, damping and steps cannot be what was meant."""
    in_range(defense, "steps", 1)
    name, metric, damping = defense.card.name, defense.metric, defense.damping
    if metric not in ("euclidean", "fisher"):
        raise ConfigError(f"{name}: metric={metric!r} must be 'euclidean' or 'fisher'")
    in_range(defense, "damping", 0.0)
    if damping == 0:
        raise ConfigError(f"{name}: damping=0 must be more than 0: where F is 0 it is all there is")
    ours = metric == "fisher" or defense.steps > 1
    if ours and defense.mode == "in-loop":
        raise ConfigError(
            f"{name}: metric and steps are of the step after training: leave them out with "
            "mode='in-loop', or use mode='post-hoc'"
        )
    if metric == "fisher" and not off:
        need_data(defense, "validation")
