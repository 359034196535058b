r"""RESTA (Bhardwaj et al., arXiv 2402.11746, ACL 2024) and negation (Ilharco et al., 2212.04089).

Task arithmetic: the safety vector :math:`\delta_{safe} = \theta_o - \theta_h` leads from a model
made harmful back to the aligned one; added to a tuned model it restores what tuning took.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from math import isfinite
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from holdfast.artifact import Artifact
from holdfast.defense import (
    Capability,
    Card,
    Defense,
    Examples,
    Run,
    Stage,
    in_range,
    need_data,
)  # fmt: skip
from holdfast.defenses.resta.direction import (
    Origin,
    check_origin,
    harmful_direction,
    of_vector,
    origin_of,
    untold_base,
)
from holdfast.defenses.resta.weight_by_weight import WeightByWeight
from holdfast.defenses.unrelated import tell_unrelated, tell_unrelated_weights
from holdfast.errors import ConfigError, RunError
from holdfast.files.adapters import read_adapter
from holdfast.files.weights import open_weights
from holdfast.ops.agreement import agreement
from holdfast.ops.engine import Batch
from holdfast.ops.engines.sharded import laid_out
from holdfast.ops.gradients import Tensors, global_norm
from holdfast.ops.low_rank import LowRank
from holdfast.progress import ticking


def drop_and_rescale(delta: Tensor, rate: float, rng: torch.Generator) -> Tensor:
    r"""Return DARE's :math:`m \odot \delta / (1 - p)`, :math:`m \sim \text{Bernoulli}(1 - p)`.

    Each entry survives with probability 1 − p and is rescaled, so the mean is δ (2311.03099).

    Args:
        delta: What tuning changed, of any shape.
        rate: The share p of entries that are dropped, in [0, 1).
        rng: A generator on the CPU, so that the draw is the same on every device.
    """
    keep = torch.rand(delta.shape, generator=rng) >= rate
    return delta * laid_out(keep, delta) / (1 - rate)


def realigned(
    tuned: Mapping[str, Tensor],
    origin: Mapping[str, Tensor],
    direction: Mapping[str, Tensor],
    gamma: float,
    rate: float = 0.0,
    seed: int = 0,
) -> Tensors:
    r"""Return what to add to θ so that it is realigned.

    .. math:: \theta_o + \text{DARE}_p(\theta - \theta_o) - \gamma\,\delta_h - \theta

    With p = 0 it is :math:`\gamma\,\delta_{safe} = -\gamma\,\delta_h`, whatever θ and θ_o are.

    Args:
        tuned: θ, by canonical name.
        origin: θ_o by the same names; read where ``rate`` is over 0.
        direction: δ_h = θ_h − θ_o; the tensors that are edited.
        gamma: Multiple of the safety vector, 0 or more.
        rate: p of DARE, in [0, 1).
        seed: Seed of DARE's draw.
    """
    rng = torch.Generator().manual_seed(seed)
    return {
        name: _realigned(tuned[name], origin[name] if rate > 0 else None, d, (gamma, rate), rng)
        for name, d in direction.items()
    }


def _realigned(
    tuned: Tensor,
    origin: Tensor | None,
    direction: Tensor,
    gamma_and_rate: tuple[float, float],
    rng: torch.Generator,
) -> Tensor:
    """Return what ``realigned`` adds to one tensor, with the next draw of ``rng``."""
    gamma, rate = gamma_and_rate
    edit = -gamma * direction
    if origin is not None:
        change = tuned.detach() - origin
        edit += drop_and_rescale(change, rate, rng) - change
    return edit


@dataclass
class RESTA(Defense):
    """Subtracts from the tuned weights what makes the aligned model harmful."""

    harmful: Examples | None = None
    """The defender's harmful pairs, on which δ_h is trained; not needed with ``vector``."""
    gamma: float = 0.5
    """Strength: multiple of the safety vector that is added; 0 does nothing. Ours."""
    dare: float = 0.0
    """DARE: share of the entries of the user's own change dropped, in [0, 0.99]; 0 drops none."""
    lr: float = 1e-3
    """Learning rate of the harmful fine-tune; use 1e-5 or so for full weights. Ours."""
    epochs: int = 10
    """Passes over the harmful rows. Ours."""
    batch_size: int = 10
    """Harmful rows per step. Ours."""
    aligned: str | None = None
    """Fully tuned weights: folder of the aligned model θ_o; without it, negation at the weights."""
    vector: str | None = None
    """Folder of a harmful LoRA trained before (a security vector); for full weights only."""
    seed: int = 0
    """Seed of the order of the rows and of DARE's draw, added to the run's."""

    card: ClassVar[Card] = Card(
        name="resta",
        summary="Subtracts a direction that makes the aligned model harmful from the tuned one.",
        stage=Stage.REPAIR,
        paper="RESTA, arXiv 2402.11746; task negation, arXiv 2212.04089",
        strength="gamma",
        cost="none per step; one short fine-tune on the harmful rows at the end",
        data=("harmful",),
        models={"aligned": "aligned"},
        needs=frozenset({Capability.EXTRA_BACKWARD, Capability.EDITS_WEIGHTS}),
    )

    def validate(self) -> None:
        """Check ranges and, unless the strength is 0, that rows and folders are there."""
        for name, low, high in (("gamma", 0.0, 1e6), ("lr", 0.0, 1e3), ("dare", 0.0, 0.99)):
            in_range(self, name, low, high)
        for name in ("epochs", "batch_size"):
            in_range(self, name, 1)
        if self.gamma == 0:
            return
        if self.vector is not None:
            read_adapter(self.vector)  # A wrong folder must not show only after training.
        else:
            need_data(self, "harmful")
        if self.aligned is not None:
            open_weights(self.aligned, "resta: aligned")

    def check_model(self, model: nn.Module) -> None:
        """Look whether θ_o can be had, and whether the direction has somewhere to go."""
        aligned = check_origin(model, self.aligned, self.vector)
        if self.dare > 0 and not aligned:
            raise ConfigError(
                f"resta: dare={self.dare:g} drops entries of the change since alignment, and for "
                "fully tuned weights that needs aligned= (the folder of the model before tuning)"
            )

    def after(self, run: Run) -> Artifact:
        r"""Add :math:`\gamma\,\delta_{safe}` once; δ_h is kept apart and is private."""
        if self.gamma == 0:
            return Artifact(self.card.name, report={"gamma": 0.0, "norm": 0.0})
        engine, seed = run.engine, run.seed + self.seed
        harmful = run.batches(self.harmful, self.batch_size) if self.harmful is not None else []
        origin = origin_of(engine, self.aligned)
        if self.aligned is not None and origin.aligned:
            given = f"resta: aligned={self.aligned}"
            tell_unrelated_weights(run.say, given, engine.parameters(), origin.tensors)
        for line in self._untold(engine.model):
            run.say(line)
        direction, losses = self._direction(run, origin, harmful, seed)
        _check_direction(direction)
        edit = realigned(
            engine.parameters(), origin.tensors, direction, self.gamma, self.dare, seed
        )
        before = agreement(engine, harmful)[0] if harmful else None
        engine.edit(edit)
        report: dict[str, Any] = {
            "gamma": self.gamma,
            "norm": self.gamma * global_norm(direction),
            "from_aligned": origin.aligned,
            "direction_losses": losses,
        }
        if before is not None:
            report["harmful_loss"] = [before, agreement(engine, harmful)[0]]
        run.say(f"resta: safety vector of norm {report['norm']:.3g} added")
        return Artifact(
            self.card.name,
            # A vector that was read lies where it was read from.
            tensors={"harmful_direction": direction} if self.vector is None else {},
            documents={"realignment": {**self.config(), **report}},
            report=report,
            private=True,
        )

    def tensorwise(self, model: nn.Module) -> WeightByWeight | None:
        """Subtract a vector that was read from a file, weight by weight."""
        if self.gamma == 0 or self.vector is None:
            return None
        self.check_model(model)
        vector = LowRank.from_tensors(read_adapter(self.vector))

        def realign(
            tuned: Tensor, origin: Tensor | None, direction: Tensor, rng: torch.Generator
        ) -> Tensor:
            return _realigned(tuned, origin, direction, (self.gamma, self.dare), rng)

        drawn = self.seed if self.dare > 0 else None
        rest = realign, self._artifact, partial(self._said, self._untold(model))
        return WeightByWeight.of(model, vector, self.aligned, rest, drawn)

    def _untold(self, model: nn.Module) -> list[str]:
        """Return the line for a vector whose base is not looked at."""
        unseen = self.vector is not None and self.aligned is None
        return untold_base(model, str(self.vector)) if unseen else []

    def _said(self, untold: list[str], norm: float, apart: float, size: float) -> list[str]:
        """Return what is said of an edit by a direction of this norm; see ``tell_unrelated``."""
        said = list(untold)
        tell_unrelated(said.append, f"resta: aligned={self.aligned}", apart, size)
        return [*said, f"resta: safety vector of norm {self.gamma * norm:.3g} added"]

    def _artifact(self, norm: float) -> Artifact:
        if not (isfinite(norm) and norm > 0):
            raise _no_direction(norm)
        report: dict[str, Any] = {
            "gamma": self.gamma,
            "norm": self.gamma * norm,
            "from_aligned": self.aligned is not None,
            "direction_losses": [],
        }
        documents = {"realignment": {**self.config(), **report}}
        return Artifact(self.card.name, documents=documents, report=report, private=True)

    def _direction(
        self, run: Run, origin: Origin, harmful: list[Batch], seed: int
    ) -> tuple[Tensors, list[float]]:
        if self.vector is not None:
            return of_vector(run.engine, LowRank.from_tensors(read_adapter(self.vector))), []
        tick = ticking(run.progress, "resta: harmful direction", self.epochs * len(harmful))
        how = self.lr, self.epochs, seed
        return harmful_direction(run.engine, origin.tensors, harmful, *how, tick)


def _check_direction(direction: Tensors) -> None:
    """Raise, before the weights are touched, where δ_h is zero, NaN or infinite."""
    norm = global_norm(direction)
    if not (isfinite(norm) and norm > 0):
        raise _no_direction(norm)


def _no_direction(norm: float) -> RunError:
    return RunError(
        f"resta: the harmful direction has norm {norm}; the weights were left as they are: "
        "look at lr, at the harmful rows and at the model"
    )
