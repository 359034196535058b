"""Vaccine (Huang, Hu and Liu, arXiv 2402.01109, NeurIPS 2024), from its min-max objective."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from holdfast.defense import Backward, Capability, Card, Defense, Stage, Step, in_range
from holdfast.defense.figures import Mean
from holdfast.defenses.vaccine.outputs import moved_outputs, recorded_gradients
from holdfast.errors import ModelError
from holdfast.ops.gradients import Tensors, ascent_step, global_norm, isolated_grads, scaled
from holdfast.ops.modules import attentions

_FLOOR = 1e-30
"""Guards a zero gradient alone: a micro-batch's small share of the loss must not shorten ε."""


def perturbation(gradients: Mapping[str, Tensor], rho: float, norm: float | None = None) -> Tensors:
    r"""Return :math:`\varepsilon_l = \rho\,\nabla_{e_l} f / \lVert\nabla_{e} f\rVert_2`.

    It maximizes the first-order change of :math:`f` over all :math:`\lVert\varepsilon\rVert \le
    \rho`. The norm is one over all layers, rows, tokens and dimensions: a layer to which the loss
    is more sensitive is moved farther. A gradient of 0 gives 0.

    Args:
        gradients: :math:`\nabla_{e_l} f` by layer, shape (batch, tokens, hidden).
        rho: Length ρ ≥ 0 of ε in units of the hidden states.
        norm: The norm over all rows, where these gradients are of some of them.
    """
    if norm is not None:
        return scaled(gradients, rho / (norm + _FLOOR))
    return ascent_step(gradients, rho, floor=_FLOOR)


@dataclass
class Vaccine(Defense):
    """Learns the alignment rows under the change of the hidden states that hurts them most."""

    rho: float = 2.0
    """Length ρ of the perturbation in raw hidden-state space; 0 is plain alignment (paper: 2)."""

    losses_: dict[str, float] = field(default_factory=dict[str, float], init=False)
    """The latest micro-batch's loss without and with the perturbation, nats per token."""

    card: ClassVar[Card] = Card(
        name="vaccine",
        summary="Aligns under the worst small change of the hidden states.",
        stage=Stage.ALIGN,
        paper="Vaccine, arXiv 2402.01109",
        strength="rho",
        cost="every forward and backward pass twice",
        reads="attentions",
        needs=frozenset({Capability.EXTRA_BACKWARD, Capability.REPEATS, Capability.HOOKS}),
    )

    def validate(self) -> None:
        """Check the range of ρ."""
        in_range(self, "rho", 0.0)

    def check_model(self, model: nn.Module) -> None:
        """Look for each layer's attention."""
        try:
            attentions(model)
        except ModelError as error:
            raise ModelError(f"vaccine: {error}") from error

    def idle(self) -> frozenset[str]:
        """Nothing runs at ρ = 0."""
        return frozenset() if self.rho > 0 else frozenset({"gradient"})

    def gradient(self, step: Step, backward: Backward) -> Tensor:
        r"""Add :math:`\nabla_w f(w; e + \varepsilon)` to ``.grad``, ε held fixed.

        Deviation from the hook's rule: ``backward`` is called twice, once to find ε.
        """
        modules = {str(number): m for number, m in enumerate(attentions(step.model))}
        eps, clean = self._look(step, backward, modules)
        with moved_outputs(modules, eps):
            loss = backward()
        if step.share > 0:  # The trainer's losses are scaled by the micro-batch's share.
            self.losses_ = {
                "loss_clean": Mean(float(clean) / step.share, step.share),
                "loss_perturbed": Mean(float(loss) / step.share, step.share),
            }
        return loss

    def _look(
        self, step: Step, backward: Backward, modules: Mapping[str, nn.Module]
    ) -> tuple[Tensors, Tensor]:
        """Return ε and the loss of a pass that leaves no gradient and draws no random number.

        The second pass thus has the first one's dropout masks, and those of a plain run.
        """
        params = step.engine.parameters().values()
        with (
            torch.random.fork_rng(),
            isolated_grads(params),
            recorded_gradients(modules) as found,
            step.engine.unreduced(),
        ):
            loss = backward()
        engine = step.engine
        # The rows of a micro-batch may lie in several processes, and ε is one over all of them.
        norm = engine.total(global_norm(found) ** 2) ** 0.5 if engine.world > 1 else None
        return perturbation(found, self.rho, norm), loss

    def metrics(self) -> dict[str, float]:
        """Return the latest losses without and with the perturbation."""
        return dict(self.losses_)
