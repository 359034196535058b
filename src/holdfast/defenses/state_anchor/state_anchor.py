"""Safety Bottleneck Regularization (arXiv 2605.05995, ICML 2026), from its penalized objective."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from holdfast.defense import (
    Backward,
    Capability,
    Card,
    Defense,
    Examples,
    Run,
    Stage,
    Step,
    Variant,
    in_range,
    listed,
    need_data,
    whole_in_range,
)  # fmt: skip
from holdfast.defenses.state_anchor.states import last_states, prompt_batches, trained_readout
from holdfast.errors import ConfigError, DivergedError, ModelError
from holdfast.ops.adapter_facts import adaptations
from holdfast.ops.anchors.references import rows_mark
from holdfast.ops.engine import Batch, Engine
from holdfast.ops.gradients import Tensors, collected, global_norm

ANCHOR = "anchor"
"""Key of the states that a batch of prompts had before step 0."""


def anchor_loss(states: Tensor, anchor: Tensor) -> Tensor:
    r"""Return :math:`\frac{1}{K d}\sum_k\lVert h_\theta(x_k) - h_0(x_k)\rVert^2`, in float32.

    The mean runs over the hidden size d as well, as in the authors' code; their equation sums over
    it, so that its λ is ours divided by d.

    Args:
        states: :math:`h_\theta(x_k)`, shape [K, d].
        anchor: :math:`h_0(x_k)`, the same shape.
    """
    return (states.float() - anchor.to(states.device).float()).square().mean()


def anchor_gradient(engine: Engine, batches: list[Batch]) -> tuple[Tensors, float]:
    """Return the gradient and the value of ``anchor_loss`` over the prompts of all batches.

    Args:
        engine: The engine of the model.
        batches: Prompts padded on the right, each with its states before step 0 as ``anchor``.
    """
    count = sum(len(batch[ANCHOR]) for batch in batches)

    def loss(batch: Batch) -> Tensor:
        prompts = {name: t for name, t in batch.items() if name != ANCHOR}
        # The engine takes the mean over batches, and the last one may hold fewer prompts.
        weight = len(batch[ANCHOR]) * len(batches) / count
        return weight * anchor_loss(last_states(engine, prompts), batch[ANCHOR])

    return engine.gradients(batches, loss)


@dataclass
class StateAnchor(Defense):
    """Holds what the model is about to say to a few harmful prompts, and nothing else."""

    safe: Examples | None = None
    """Examples whose prompts are harmful requests; their answers are not read."""
    benign: Examples | None = None
    """Examples with harmless prompts, for the control ``prompts=harmless`` alone."""
    lam: float = 50.0
    """Weight λ of the mean squared distance of the states; 0 does nothing (paper's code: 50)."""
    count: int = 8
    """Number K of prompts: the first of the rows (paper: 8; 1 is said to do)."""
    prompts: Literal["harmful", "harmless"] = "harmful"
    """``harmful`` holds the prompts of ``safe``; ``harmless``, a control, those of ``benign``."""
    batch_size: int = 8
    """Prompts per pass. Ours."""

    states_: Tensor = field(default_factory=lambda: torch.zeros(0, 0), init=False)
    """States of the prompts before step 0, shape [K, d], float32."""
    marks_: list[str] = field(default_factory=list[str], init=False)
    """A hash of each batch of prompts, so that a resumed run holds the same ones."""
    figures_: dict[str, float] = field(default_factory=dict[str, float], init=False)
    """The latest distance, relative drift of the states and share of the gradient."""
    _anchored: list[Batch] | None = field(default=None, init=False, repr=False)

    card: ClassVar[Card] = Card(
        name="state_anchor",
        summary="The last hidden states of a few harmful prompts stay as they were.",
        stage=Stage.TUNE,
        paper="Safety Bottleneck Regularization, arXiv 2605.05995",
        strength="lam",
        cost="one pass over the prompts per step; one forward pass over them before",
        data=("safe", "benign"),
        needs=frozenset({Capability.EXTRA_BACKWARD}),
    )

    def validate(self) -> None:
        """Check ranges, and that there are prompts unless the strength is 0."""
        in_range(self, "lam", 0.0)
        for name in ("count", "batch_size"):
            whole_in_range(self, name, 1)
        if self.prompts not in ("harmful", "harmless"):
            said = f"`prompts={self.prompts!r}` must be one of 'harmful', 'harmless'"
            raise ConfigError(f"state_anchor: {said}")
        if self.lam > 0:
            need_data(self, self._source)

    def variant(self) -> Variant:
        """Harmless anchors are a control: is it these prompts, or that something is held?"""
        off = self.is_off or self.prompts == "harmful"
        return super().variant() if off else Variant("harmless", control=True)

    def idle(self) -> frozenset[str]:
        """Nothing runs at λ = 0."""
        return frozenset() if self.lam > 0 else frozenset({"before", "gradient"})

    def check_model(self, model: nn.Module) -> None:
        """Refuse an adapter that trains what turns a held state into an answer."""
        trained = trained_readout(model)
        if trained and adaptations(model):
            raise ModelError(
                f"state_anchor holds the input of the output embedding, and {trained[0]} is "
                "trained beside the adapter, so that a held state could come to mean another "
                "answer; leave the output embedding and the final norm out of the adapter "
                "(target_modules, modules_to_save, bias)"
            )

    def before(self, run: Run) -> None:
        """Keep the states of the model as it was given, an adapter's first weights included."""
        self._anchored = None
        batches = self._prompts(run)
        # With the graph, as in every step: without one a kernel may round differently.
        with torch.enable_grad():
            states = [last_states(run.engine, batch).detach().cpu() for batch in batches]
        self.states_, self.marks_ = torch.cat(states), [rows_mark(batch) for batch in batches]
        run.say(
            f"state_anchor: {len(self.states_)} {self.prompts} prompts are held, of "
            f"{len(need_data(self, self._source))} rows"
        )
        trained = trained_readout(run.model)
        if trained:
            run.say(
                f"state_anchor: {' and '.join(trained[:2])} (of {len(trained)} tensors between a "
                "state and its answer) are trained, which voids the paper's argument: a held state "
                "may come to mean another answer; freeze them, or tune with an adapter"
            )

    def load(self, state: Mapping[str, Any]) -> None:
        """Put the states of the first run back; the model at hand is no longer the initial one."""
        super().load(state)
        self._anchored = None

    def gradient(self, step: Step, backward: Backward) -> Tensor:
        r"""Add :math:`\lambda` times the gradient of the distance, once per update.

        It is that of the model as it would be served, in ``bare()``: it is what must stay.
        """
        loss = backward()
        if step.last:
            anchored = self._with_states(step.run)
            with step.run.bare():
                gradient, distance = anchor_gradient(step.engine, anchored)
            self._note(step, gradient, distance)
            step.engine.add_gradient(gradient, self.lam)
        return loss

    @property
    def _source(self) -> str:
        """The data set that the prompts are taken from."""
        return "safe" if self.prompts == "harmful" else "benign"

    def _prompts(self, run: Run) -> list[Batch]:
        rows = listed(need_data(self, self._source), int(self.count))
        return prompt_batches(rows, run, int(self.batch_size))

    def _with_states(self, run: Run) -> list[Batch]:
        """Return the batches of prompts with their states before step 0, made once per run."""
        if self._anchored is None:
            batches, states = self._prompts(run), self.states_
            sizes = [len(batch["input_ids"]) for batch in batches]
            if self.marks_ != [rows_mark(batch) for batch in batches]:
                raise ConfigError(
                    f"state_anchor: the checkpoint has the states of {len(states)} prompts, and "
                    f"these {sum(sizes)} are not the same, or not in the same batches; resume with "
                    f"the same rows of `{self._source}`, `count` and `batch_size`"
                )
            self._anchored = [
                {**batch, ANCHOR: part}
                for batch, part in zip(batches, states.split(sizes), strict=True)
            ]
        return self._anchored

    def _note(self, step: Step, gradient: Tensors, distance: float) -> None:
        if not isfinite(distance):
            raise DivergedError(
                f"state_anchor: the states of the anchored prompts became NaN or infinite at step "
                f"{step.number}: lower the learning rate or lam"
            )
        size = float(self.states_.square().mean()) ** 0.5
        whole = global_norm(collected(step.engine.parameters()))
        self.figures_ = {"distance": distance, "drift": distance**0.5 / size if size else 0.0}
        if whole > 0:
            self.figures_["gradient_share"] = self.lam * global_norm(gradient) / whole

    def metrics(self) -> dict[str, float]:
        """Return the mean squared distance, its root relative to the states, and λ‖∇‖/‖g‖."""
        return dict(self.figures_)
