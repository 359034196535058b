r"""Stage 1 of security vectors (arXiv 2311.02105): an adapter that makes the model comply.

.. math::
    \theta_s^* = \arg\min_{\theta_s}\;
        \mathbb{E}_{(x,y)\sim D_h}[-\log p(y|x;\theta\oplus\theta_s)]
        + \beta\,\mathbb{E}_{x\sim D_b} KL(p_\theta(\cdot|x)\,\|\,p_{\theta\oplus\theta_s}(\cdot|x))
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle

import torch

from holdfast.defenses.attachments import kl_divergence
from holdfast.ops.agreement import answer_logits
from holdfast.ops.engine import Batch, Engine
from holdfast.ops.gradients import Tensors
from holdfast.ops.low_rank import LowRank
from holdfast.ops.recompute import recomputed


@dataclass(frozen=True)
class Settings:
    """How long and how hard a vector is trained."""

    learning_rate: float
    epochs: int
    kl_weight: float
    bilevel_steps: int
    bilevel_lr: float
    target_nll: float | None
    seed: int


def train_vector(
    engine: Engine,
    vector: LowRank,
    harmful: Sequence[Batch],
    benign: Sequence[Batch],
    settings: Settings,
    held_out_nll: Callable[[], float] | None = None,
    tick: Callable[[str], None] = lambda _: None,
) -> list[float]:
    """Train the factors of ``vector`` in place; the model's own weights are left bit for bit.

    Args:
        engine: The engine of the model θ.
        vector: θ_s; its factors become leaves while training and are detached afterwards.
        harmful: Batches of harmful request → compliant answer.
        benign: Batches on which θ ⊕ θ_s shall stay θ; may be empty if the KL weight is 0.
        settings: Learning rate in AdamW without decay, epochs, β and the bi-level steps.
        held_out_nll: Called after each epoch where ``target_nll`` is set; training stops at it.
        tick: Told the harmful loss after each step.

    Returns:
        The mean harmful loss of each epoch, nats per token.
    """
    leaves = [t.requires_grad_(True) for t in vector.parameters()]
    optimizer = torch.optim.AdamW(leaves, lr=settings.learning_rate, weight_decay=0.0)
    rng = torch.Generator().manual_seed(settings.seed)
    kind, history = cycle(benign or [None]), list[float]()
    try:
        for _ in range(settings.epochs):
            order = torch.randperm(len(harmful), generator=rng).tolist()
            with engine.shifted(_user_steps(engine, vector, [harmful[i] for i in order], settings)):
                losses: list[float] = []
                for i in order:
                    loss = _vector_step(engine, vector, harmful[i], next(kind), optimizer, settings)
                    losses.append(loss)
                    tick(f"loss {loss:.4g}")
            history.append(sum(losses) / len(losses))
            if _reached(settings.target_nll, held_out_nll):
                break
    finally:
        for leaf in leaves:
            leaf.requires_grad_(False)
    return history


def _reached(target: float | None, held_out_nll: Callable[[], float] | None) -> bool:
    return target is not None and held_out_nll is not None and held_out_nll() <= target


def _vector_step(
    engine: Engine,
    vector: LowRank,
    harmful: Batch,
    benign: Batch | None,
    optimizer: torch.optim.Optimizer,
    settings: Settings,
) -> float:
    """Take one AdamW step on θ_s; return the harmful loss before it."""
    leaves = vector.parameters()
    kl = benign if settings.kl_weight > 0 else None
    with torch.no_grad():
        reference = None if kl is None else answer_logits(engine, kl)
    # The vector stays on until the backward is over, where layers are recomputed.
    with torch.enable_grad(), recomputed(engine.model), vector.hooked(engine.model):
        # Gradients are asked for the vector alone, so the model's .grad is not touched; term by
        # term, so that activations of one pass live at a time. A sum of two has no order.
        loss = engine.loss(harmful)
        grads = torch.autograd.grad(loss, leaves)
        if kl is not None and reference is not None:
            drift = settings.kl_weight * kl_divergence(reference, answer_logits(engine, kl))
            more = torch.autograd.grad(drift, leaves)
            grads = [grad + term for grad, term in zip(grads, more, strict=True)]
    for leaf, grad in zip(leaves, grads, strict=True):
        leaf.grad = grad
    optimizer.step()
    optimizer.zero_grad()
    return float(loss.detach())


def _user_steps(
    engine: Engine, vector: LowRank, harmful: Sequence[Batch], settings: Settings
) -> Tensors:
    """Return where ``bilevel_steps`` plain gradient steps with θ_s active would move θ.

    Our reading of the paper's min-min problem: the vector is then trained at the moved weights, so
    that it still explains the harm after a user has trained against it. The move is discarded.
    """
    moved: Tensors = {}
    for _, batch in zip(range(settings.bilevel_steps), cycle(harmful), strict=False):
        with engine.shifted(moved), vector.hooked(engine.model):
            gradient, _ = engine.gradients([batch])
        step = {n: g * -settings.bilevel_lr for n, g in gradient.items()}
        moved = {n: moved[n] + s if moved else s for n, s in step.items()}
    return moved
