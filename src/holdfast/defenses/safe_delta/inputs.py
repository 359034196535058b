"""What the linear layers are given on the safety rows: the Gram matrix of their inputs."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from holdfast.defense import Run
from holdfast.errors import RunError
from holdfast.ops.engine import Batch
from holdfast.ops.modules import ModuleRef
from holdfast.ops.roles.parts import Linear, features
from holdfast.progress import counted

Blocks = list[tuple[slice, Tensor]]
"""Columns of a layer → XXᵀ of these inputs."""


def blocks_of(width: int, block: int) -> list[slice]:
    """Return the columns that are treated together; 0 takes all of them at once."""
    size = block or width
    return [slice(n, min(n + size, width)) for n in range(0, width, size)]


@torch.no_grad()
def grams(
    run: Run, layers: Mapping[ModuleRef, Linear], batches: Sequence[Batch], block: int
) -> dict[ModuleRef, Blocks]:
    """Return the sums of x·xᵀ over all tokens of the batches, padding left out, in float32.

    Args:
        run: The run, its model the aligned one.
        layers: The linear layers that are asked about.
        batches: The safety rows.
        block: Columns that are treated together.

    Raises:
        RunError: A layer was passed by: compiled code does not call what is attached later.
    """
    found: dict[ModuleRef, Blocks] = {}
    with _watched(layers, found, block) as masks:
        for batch in counted(run.progress, "safe_delta: safety rows", list(batches)):
            for _, part in run.engine.parts(batch):
                ids, attended = part["input_ids"], part.get("attention_mask")
                masks["now"] = torch.ones_like(ids).bool()
                if attended is not None and attended.shape == ids.shape:
                    masks["now"] = attended.bool()
                run.engine.forward({k: v for k, v in part.items() if k != "labels"})
    if missing := [ref.name for ref in layers if ref not in found]:
        raise RunError(
            f"safe_delta: the inputs of {missing[0]} were not seen on the safety rows; the weights "
            "were left as they are: leave torch.compile out, or repair the finished model"
        )
    return found


@contextmanager
def _watched(
    layers: Mapping[ModuleRef, Linear], found: dict[ModuleRef, Blocks], block: int
) -> Generator[dict[str, Tensor]]:
    """Add each layer's inputs to its matrices while the body runs; nothing stays attached."""
    masks: dict[str, Tensor] = {}

    def see(ref: ModuleRef, width: int, _: Any, inputs: tuple[Tensor, ...]) -> None:
        # OPT's MLP and shared experts get all tokens of a batch as one list.
        x = inputs[0].detach().flatten(0, -2)
        tokens = x[masks["now"].flatten().to(x.device)].float()  # (tokens, in)
        cuts = blocks_of(width, block)
        if ref not in found:
            found[ref] = [(c, tokens.new_zeros(c.stop - c.start, c.stop - c.start)) for c in cuts]
        # Training's autocast is on in here, and a product in bfloat16 is not positive definite.
        with torch.autocast(x.device.type, enabled=False):
            for columns, gram in found[ref]:
                gram.add_(tokens[:, columns].mT @ tokens[:, columns])

    with ExitStack() as stack:
        for ref, linear in layers.items():
            hook = partial(see, ref, features(linear)[1])
            stack.callback(linear.register_forward_pre_hook(hook).remove)
        yield masks
