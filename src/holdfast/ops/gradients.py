"""Gradients taken aside: what a second pass computes never mixes with what the user's pass left."""

from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from holdfast.ops.engines.sharded import whole

__all__ = [
    "Tensors", "ascent_step", "collected", "global_norm", "inner_product", "isolated_grads",
    "scaled", "step_with",
]  # fmt: skip

Tensors = dict[str, Tensor]
"""One tensor per trainable parameter, by canonical name: a point or direction in weight space."""


def global_norm(tensors: Mapping[str, Tensor]) -> float:
    r"""Return :math:`\lVert v\rVert_2 = \sqrt{\sum_t \lVert v_t\rVert_F^2}` over all tensors.

    The sum is taken in float64, so that the norm of many small tensors does not lose digits. Of
    sharded tensors it is the norm of the whole ones; every process has to ask for it.
    """
    norms = (torch.linalg.vector_norm(t.detach(), dtype=torch.float64) for t in tensors.values())
    return sum(float(whole(norm)) ** 2 for norm in norms) ** 0.5


def inner_product(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> float:
    r"""Return :math:`\langle u, v\rangle = \sum_t \langle u_t, v_t\rangle_F` over all tensors.

    Products are taken in float32 and summed in float64. A tensor that only one side has counts as
    zeros on the other. Of sharded tensors it is that of the whole ones; every process has to ask.
    """
    both = [(left[name].detach(), right[name].detach()) for name in left if name in right]
    parts = ((u.float() * v.float()).sum(dtype=torch.float64) for u, v in both)
    return sum(float(whole(part)) for part in parts)


def scaled(tensors: Mapping[str, Tensor], factor: float) -> Tensors:
    """Return ``factor * tensors``."""
    return {name: tensor * factor for name, tensor in tensors.items()}


def ascent_step(gradient: Mapping[str, Tensor], radius: float, floor: float = 1e-7) -> Tensors:
    r"""Return :math:`\varepsilon = \rho\,g/(\lVert g\rVert_2 + \text{floor})`: one normalized step.

    Args:
        gradient: Gradient :math:`g`, one tensor per parameter.
        radius: Length :math:`\rho \ge 0` of the step, in units of the raw parameters.
        floor: Guards a zero gradient. It shortens the step by a relative ``floor / norm``.
    """
    return scaled(gradient, radius / (global_norm(gradient) + floor))


@contextmanager
def isolated_grads(params: Iterable[nn.Parameter]) -> Generator[None]:
    """Give the body empty ``.grad``; then put back what earlier micro-batches accumulated."""
    kept = [(p, p.grad) for p in params]
    for p, _ in kept:
        p.grad = None
    try:
        yield
    finally:
        for p, grad in kept:
            p.grad = grad


def step_with(
    optimizer: torch.optim.Optimizer,
    params: Mapping[str, nn.Parameter],
    gradient: Mapping[str, Tensor],
) -> None:
    """Take one optimizer step by a gradient that was taken aside; each ``.grad`` stays as it was.

    Args:
        optimizer: An optimizer of ``params``.
        params: Parameters by name.
        gradient: One tensor per parameter, by the same names.
    """
    with isolated_grads(params.values()):
        for name, p in params.items():
            p.grad = gradient[name]
        optimizer.step()


def collected(params: Mapping[str, nn.Parameter]) -> Tensors:
    """Return each parameter's ``.grad``, zeros where backward did not reach it."""
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad.detach()
        for name, p in params.items()
    }
