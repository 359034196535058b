"""The harmful direction: what a short fine-tune on harmful pairs does to the weights."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from holdfast.defenses.aligned_folder import check_all_there
from holdfast.errors import ConfigError
from holdfast.files.adapters import read_adapter
from holdfast.files.base_mark import BaseMark, read_mark, refuse_other_base
from holdfast.files.weights import open_weights
from holdfast.ops.adapter_facts import AdapterKind, require_kinds
from holdfast.ops.engine import Batch, Engine
from holdfast.ops.engines.sharded import laid_out
from holdfast.ops.gradients import Tensors, step_with
from holdfast.ops.low_rank import LowRank
from holdfast.ops.modules import plain_name, trainable
from holdfast.ops.weights import copied, put

__all__ = ["Origin", "check_origin", "harmful_direction", "of_vector", "origin_of", "untold_base"]


class Origin(NamedTuple):
    """The point θ_o from which the harmful fine-tune starts."""

    tensors: Tensors
    """Value of every tensor that is moved, by canonical name."""
    aligned: bool
    """True where θ_o is the aligned model; False where it is the tuned model itself."""


def origin_of(engine: Engine, aligned: str | None) -> Origin:
    """Return θ_o: the aligned model where it can be had.

    With a LoRA adapter the aligned model is B = 0, and A stays the user's, so that every direction
    from there lies in the adapter's own space and can be added to B exactly.

    Args:
        engine: The engine of the tuned model.
        aligned: Folder of the aligned model, for fully tuned weights.
    """
    trained = engine.parameters()
    # Where LoRA has a bias of its own, the base is at a bias of 0 as well; its name is B's.
    factors = {n: torch.zeros_like(p) for n, p in trained.items() if ".lora_B." in n}
    if factors:
        return Origin(factors, aligned=True)
    if aligned is None:
        return Origin(copied(trained), aligned=False)
    saved = open_weights(aligned, "resta: aligned", engine.model)
    found = {n: laid_out(saved.read(plain_name(n), p), p) for n, p in trained.items()}
    return Origin(found, aligned=True)


def check_origin(model: nn.Module, aligned: str | None, vector: str | None) -> bool:
    """Tell whether θ_o can be had on this model; look at it and at the folders before step 0.

    Args:
        model: The model that will be tuned, or was.
        aligned: Folder of the aligned model, for fully tuned weights.
        vector: Folder of a harmful LoRA, for fully tuned weights.

    Raises:
        ConfigError: ``vector`` is given, and a weight that it changes is frozen.
        ModelError: The adapter is one whose base is not at B = 0, or a folder is another model's.
    """
    trained = trainable(model)
    adapted = require_kinds(model, {AdapterKind.LORA, AdapterKind.LORA_BIAS}, "resta")
    if vector is not None:
        change = LowRank.from_tensors(read_adapter(vector))
        for name in change.linears(model):
            _trained_weight(name, trained)
    if aligned is not None and not adapted:
        saved = open_weights(aligned, "resta: aligned", model)
        if vector is not None:
            before = BaseMark.of_files(model, saved, aligned)
            refuse_other_base(Path(vector), before, f"resta: vector={vector}")
        check_all_there(model, saved, "resta", "(negation at the weights)")
    return adapted or aligned is not None


def untold_base(model: nn.Module, vector: str) -> list[str]:
    """Return the line for a vector that nothing shows to be of this tuned model's base.

    Tuning changes what a mark is made of; input embeddings that it left alone still tell the base.
    """
    mark, own = read_mark(Path(vector)), BaseMark.of_embeddings(model).values
    kept = [mark.values[kind] == own[kind] for kind in own if kind in mark.values] if mark else []
    if kept and all(kept):
        return []
    known = f"was trained on {mark.name}" if mark and mark.name else "does not tell its base"
    return [
        f"resta: vector={vector} {known}, and nothing shows that this model was tuned from it: "
        "give aligned= (the folder of the model before tuning), and it is checked"
    ]


def harmful_direction(
    engine: Engine,
    origin: Tensors,
    harmful: Sequence[Batch],
    lr: float,
    epochs: int,
    seed: int,
    tick: Callable[[str], None] = lambda _: None,
) -> tuple[Tensors, list[float]]:
    r"""Return :math:`\delta_h = \theta_h - \theta_o` and the mean loss of each epoch.

    θ_h is θ_o after ``epochs`` of AdamW without decay on the harmful pairs. The weights are put
    back bit for bit, on errors too, and ``.grad`` is left as it was.

    Args:
        engine: The engine of the model.
        origin: θ_o of the tensors to train, by canonical name.
        harmful: Batches of harmful request → compliant answer.
        lr: Learning rate.
        epochs: Passes over the batches.
        seed: Seed of the order of the batches.
        tick: Told the loss after each step.
    """
    params = {n: p for n, p in engine.parameters().items() if n in origin}
    kept, history = copied(params), list[float]()
    rng = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(list(params.values()), lr=lr, weight_decay=0.0)
    try:
        put(params, origin)
        for _ in range(epochs):
            order = torch.randperm(len(harmful), generator=rng).tolist()
            losses = [_step(engine, params, harmful[i], optimizer, tick) for i in order]
            history.append(sum(losses) / len(losses))
        return {n: p.detach() - origin[n] for n, p in params.items()}, history
    finally:
        put(params, kept)


def _step(
    engine: Engine,
    params: dict[str, torch.nn.Parameter],
    batch: Batch,
    optimizer: torch.optim.Optimizer,
    tick: Callable[[str], None],
) -> float:
    gradient, loss = engine.gradients([batch])
    step_with(optimizer, params, gradient)
    tick(f"loss {loss:.4g}")
    return loss


def of_vector(engine: Engine, vector: LowRank) -> Tensors:
    """Return the direction of a harmful LoRA adapter in the model's own weights.

    Raises:
        ConfigError: A weight that it changes is frozen, so the change has nowhere to go.
        ModelError: It was made for another model.
    """
    trained, found = engine.parameters(), Tensors()
    for name, linear in vector.linears(engine.model).items():
        found[_trained_weight(name, trained)] = vector.change(name, linear)
    return found


def _trained_weight(module: str, trained: Collection[str]) -> str:
    """Return the name of the module's weight, or raise that it is frozen."""
    weight = f"{module}.weight"
    if weight not in trained:
        raise ConfigError(
            f"resta: vector= edits full weights, and {weight} is frozen here: merge the "
            "user's adapter into its base first, or give harmful= in place of vector="
        )
    return weight
