r"""push: how far one step of training on a row pulls the model's refusals down.

With the refusal lead :math:`L(\theta)` on probe prompts, :math:`u = \nabla L/\lVert\nabla L\rVert`
over the weights that the user trains, and the row's loss :math:`\ell(z)`, one step of SGD on z
changes L by :math:`-\eta\langle\nabla L,\nabla\ell(z)\rangle`. So

.. math:: \text{push}(z) = \langle u, \nabla\ell(z)\rangle
          \approx \frac{\ell(z;\theta+tu)-\ell(z;\theta-tu)}{2t}

is above 0 where the row pulls refusals down. Two inference epochs for all rows. The idea is
GradShield's (arXiv 2605.14194); the probe and the two passes are ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor

from holdfast.analysis.rows.components.losses import losses, row_losses64
from holdfast.analysis.rows.components.tiles import Tile
from holdfast.errors import ModelError, RunError
from holdfast.evaluation.drift import Openings, lead_batches, probe_loss
from holdfast.ops.engine import Batch, Engine
from holdfast.ops.gradients import Tensors, global_norm, scaled
from holdfast.ops.recompute import inference_mode_flags

__all__ = ["Direction", "Step", "direction", "exact_push", "push", "step_length"]

FIRST = 0.25
"""Where the halving begins, in units of the weights: the whole step has this length."""
STEADY = 0.05
"""Median relative change of the pushes under which halving ends."""
FINER = 8.0
"""What is left of the curvature falls with t²: this much shorter, it is under 0.1 %."""
_SHORTEST = 2.0**-16
"""Below it float32's rounding of the weights and the logits would be measured."""


@dataclass(frozen=True)
class Direction:
    """Where refusals rise fastest, in the weights that the user trains."""

    unit: Tensors
    """u, by canonical name; ‖u‖ = 1."""
    norm: float
    """‖∇L‖, nats per token and unit of weights."""
    lead: float
    """L(θ) itself, nats per token; below 0 the model does not lean to refusing."""


@dataclass(frozen=True)
class Step:
    """How far θ is moved to either side, and how steady the pushes are there."""

    t: float
    change: float
    """Median relative change of the pushes at the last halving, before ``t`` was made finer."""


def direction(
    engine: Engine, prompts: Sequence[Sequence[int]], openings: Openings, pad_id: int = 0
) -> Direction:
    """Return u: one backward pass over the probes.

    Of a LoRA adapter at its start B = 0, so that the A blocks have no gradient and u lies in B.

    Args:
        engine: The engine of the model, with what the user trains taking gradients.
        prompts: Token ids of each probe up to its answer, from ``probe_ids``.
        openings: How the base refuses and agrees.
        pad_id: What fills a batch.

    Raises:
        ModelError: Nothing is trained, or the lead does not hang on what is trained.
    """
    if not engine.parameters():
        raise ModelError(
            "push needs the weights that the user trains, and this model trains none: give it the "
            "run's adapter, or let its weights take gradients"
        )
    batches = lead_batches(prompts, openings, pad_id=pad_id)

    def lead(batch: Batch) -> Tensor:
        with inference_mode_flags(engine.model):
            return probe_loss(engine.model, batch) * len(batches)  # The engine takes the mean.

    gradient, value = engine.gradients(batches, lead)
    norm = global_norm(gradient)
    if not norm > 0:
        raise ModelError(
            f"the refusal lead on {len(prompts)} probes has gradient {norm:g} in the weights that "
            "are trained: push cannot be told; check the adapter and the probes"
        )
    return Direction(scaled(gradient, 1 / norm), norm, value)


def push(engine: Engine, tiles: Sequence[Tile], unit: Tensors, t: float) -> list[Tensor]:
    """Return the pushes tile by tile: two inference epochs, the weights put back bit for bit.

    Args:
        engine: The engine of the model; what is trained in float32.
        tiles: What ``tiles_of`` returned.
        unit: u of ``direction``.
        t: How far to either side.
    """
    with engine.shifted(unit, t):
        above = losses(engine, tiles)
    with engine.shifted(unit, -t):
        below = losses(engine, tiles)
    return [(a - b) / (2 * t) for a, b in zip(above, below, strict=True)]


def step_length(engine: Engine, tiles: Sequence[Tile], unit: Tensors) -> Step:
    """Return t: halved until the pushes change by less than 5 % in the median, then finer.

    Args:
        engine: As for ``push``.
        tiles: Some of the rows; a few tiles say enough.
        unit: u of ``direction``.

    Raises:
        RunError: They never become steady: the losses are too rough for what they are stored in.
    """
    t, before = FIRST, torch.cat(push(engine, tiles, unit, FIRST))
    change = float("nan")
    while t / 2 >= _SHORTEST:
        t, now = t / 2, torch.cat(push(engine, tiles, unit, t / 2))
        change, before = _change(before, now), now
        if change < STEADY:
            return Step(t / FINER, change)
    raise RunError(
        f"push is not steady: halving the step to {t:.2g} still changes it by {change:.0%} in the "
        "median (under 5 % is needed); load the model in float32"
    )


def exact_push(engine: Engine, tiles: Sequence[Tile], unit: Tensors) -> list[Tensor]:
    r"""Return :math:`\langle u,\nabla\ell(z)\rangle` itself: one backward pass for each row.

    It is what ``push`` has to equal, and costs some ten times as much.
    """
    return [_exact(engine, tile, unit) for tile in tiles]


def _exact(engine: Engine, tile: Tile, unit: Tensors) -> Tensor:
    found: list[float] = []
    for n in range(len(tile.rows)):
        one = {name: tensor[n : n + 1] for name, tensor in tile.batch.items()}
        gradient, _ = engine.gradients([one], lambda batch: _loss(engine, batch))
        products = [(unit[name].double() * g.double()).sum() for name, g in gradient.items()]
        found.append(float(torch.stack(products).sum()))
    return torch.tensor(found, dtype=torch.float64)


def _loss(engine: Engine, batch: Batch) -> Tensor:
    logits = engine.forward({k: v for k, v in batch.items() if k != "labels"}).logits
    return row_losses64(logits, batch["labels"]).sum()


def _change(before: Tensor, now: Tensor) -> float:
    """Return the median over rows of |before − now| / |now|."""
    floor = torch.finfo(torch.float64).tiny
    return median(((before - now).abs() / now.abs().clamp(min=floor)).tolist())
