"""Whether a folder that is given as the model before tuning can be that at all."""

from collections.abc import Callable, Mapping

from torch import Tensor

from holdfast.ops.gradients import global_norm

__all__ = ["UNRELATED", "tell_unrelated", "tell_unrelated_weights"]

UNRELATED = 0.8
r"""Least :math:`\lVert W - W_0\rVert / \lVert W_0\rVert` over all matrices that is told; ours.
Between two models that have nothing in common it is about 1.4, and fine-tuning stays far below."""


def tell_unrelated(say: Callable[[str], None], given: str, apart: float, size: float) -> None:
    r"""Say it where a folder has next to nothing of the weights that are held to come from it.

    Args:
        say: Takes the line.
        given: What the folder was given as.
        apart: :math:`\lVert W - W_0\rVert` over the weights that were compared.
        size: :math:`\lVert W_0\rVert` of the folder's.
    """
    if size > 0 and apart >= UNRELATED * size:
        say(
            f"{given} has next to nothing of the weights that it is compared with (they differ by "
            f"{apart / size:.0%} of its own size, and tuning changes far less): look whether "
            "it is the right folder, as all that was done rests on it"
        )


def tell_unrelated_weights(
    say: Callable[[str], None], given: str, now: Mapping[str, Tensor], before: Mapping[str, Tensor]
) -> None:
    """Do the same for tensors by name; vectors are left out, norms begin alike in all models."""
    matrices = {name: old for name, old in before.items() if old.dim() > 1}
    apart = {name: now[name].detach() - old.detach() for name, old in matrices.items()}
    tell_unrelated(say, given, global_norm(apart), global_norm(matrices))
