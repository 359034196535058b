"""Where a merged vector trains as a vector beside the weights would: by what is, not by flags.

Merging adds ΔW to the weights that are trained. It is exact while nothing but the layer's own
product reads them: no renormalizing adapter, no decay, no optimizer that keeps or measures weights.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from peft.tuners.lora import layer as lora
from torch import Tensor, nn

from holdfast.defense import Run
from holdfast.defenses.attachments import all_modules, refuse_compiled
from holdfast.errors import ConfigError
from holdfast.ops.engines.sharded import is_sharded
from holdfast.ops.low_rank import LowRank
from holdfast.ops.roles.parts import LINEAR, Linear
from holdfast.training.looks.compiled import any_compiled

Mode = Literal["auto", "merged", "hooks"]

_EQUAL, _ROUNDED = 1e-5, 3e-2
"""Relative difference that one loss may have by two ways, in float32 and below."""
_EXACT = (
    torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.NAdam, torch.optim.RAdam,
    torch.optim.Adamax,
)  # fmt: skip
"""Optimizers whose step depends on gradients alone where there is no decay."""


def use_merged(run: Run, vector: LowRank, mode: Mode) -> bool:
    """Tell whether to merge; ``auto`` merges where that is known to be exact.

    Raises:
        ConfigError: ``merged`` was asked for where it is not exact, or hooks are needed and the
            model is compiled.
    """
    linears = vector.linears(run.model)
    why = next(_reasons(run, vector, linears), None)
    if mode == "merged" and why is not None:
        raise ConfigError(
            f"security_vectors: attach='merged' is not exact here: {why}; use attach='auto', which "
            "takes hooks"
        )
    low = any(linear.weight.dtype != torch.float32 for linear in linears.values())
    merged = mode == "merged" or (mode == "auto" and why is None and not low)
    if not merged:
        refuse_compiled("security_vectors", all_modules(run), why)
    return merged


@contextmanager
def undecayed(run: Run, vector: LowRank) -> Generator[None]:
    """Raise in the body's first step that decays weights with the vector in them.

    A callback or a schedule may set a decay long after the vector was merged.
    """
    weights = [m.weight for m in vector.linears(run.model).values()]

    def look(optimizer: Any, *_: Any) -> None:
        trained = [w for w in weights if w.requires_grad]
        why = next(_of_optimizer(trained, optimizer), None)
        if why is not None:
            raise ConfigError(
                f"security_vectors: {why}, and it came after the vector was merged; set it before "
                "training begins, or use attach='hooks'"
            )

    watch = getattr(run.optimizer(), "register_step_pre_hook", None)
    handle = watch(look) if watch is not None else None
    try:
        yield
    finally:
        if handle is not None:
            handle.remove()


def _reasons(run: Run, vector: LowRank, linears: dict[str, Linear]) -> Generator[str]:
    """Yield why merging into these layers would not be exact."""
    wrapping = {
        id(inner): module
        for module in run.model.modules()
        if (inner := getattr(module, "base_layer", None)) is not None
    }
    for name, linear in linears.items():
        yield from _of_layer(name, linear, wrapping.get(id(linear)))
    weights = [linear.weight for linear in linears.values()]
    if len({id(w) for w in weights}) < len(weights):
        yield "two layers share one weight"
    trained = [w for w in weights if w.requires_grad]
    yield from _of_optimizer(trained, run.optimizer())
    if trained and not any_compiled(all_modules(run)):
        yield from _of_loss(run, vector)


def _of_layer(name: str, linear: Linear, around: nn.Module | None) -> Generator[str]:
    if not linear.weight.is_floating_point():
        yield f"{name} has quantized weights"
    if is_sharded(linear.weight):
        yield f"the weights of {name} are sharded over several processes"
    # A reparametrized layer (weight norm) makes its weight anew in every pass.
    if type(linear) not in LINEAR or "weight" not in linear._parameters:  # type: ignore[reportPrivateUsage]
        yield f"{name} is no plain torch.nn.Linear with a weight of its own"
    if around is None:
        return
    if type(around) is not lora.Linear:
        yield f"{name} is inside a {type(around).__name__}, which may not just add to its output"
    elif any(around.use_dora.values()) or getattr(around, "lora_variant", None):
        yield f"the adapter on {name} (DoRA or another variant of LoRA) measures its weight"


def _of_optimizer(trained: list[Tensor], optimizer: Any) -> Generator[str]:
    """Yield why steps of the optimizer would not be exact; it holds none of the frozen weights."""
    if not trained:
        return
    if type(optimizer) not in _EXACT:
        kind = "unknown" if optimizer is None else type(optimizer).__name__
        yield f"the optimizer is {kind}, which is not known to look at gradients alone"
        return
    inside = {id(w) for w in trained}
    for group in optimizer.param_groups:
        if group.get("weight_decay", 0) != 0 and any(id(p) in inside for p in group["params"]):
            yield f"a weight decay of {group['weight_decay']:g} would shrink the vector as well"


@torch.no_grad()
def _of_loss(run: Run, vector: LowRank) -> Generator[str]:
    """Yield that the user's loss reads the weights themselves, as a penalty on them does."""
    if run.users_loss() is None:
        return
    with vector.hooked(run.model):
        beside = run.users_loss() or 0.0
    linears = vector.linears(run.model)
    kept = {name: linear.weight.detach().clone() for name, linear in linears.items()}
    try:
        for name, linear in linears.items():
            linear.weight.add_(vector.change(name, linear))
        inside = run.users_loss() or 0.0
    finally:
        for name, linear in linears.items():
            linear.weight.copy_(kept[name])
    allowed = _ROUNDED if _is_rounded(run) else _EQUAL
    if abs(inside - beside) > allowed * max(abs(beside), 1e-6):
        yield (
            f"the trainer's own loss is {inside:.6g} with the vector in the weights and "
            f"{beside:.6g} with it beside them, so it reads the weights (a penalty on them?)"
        )


def _is_rounded(run: Run) -> bool:
    low = any(p.dtype != torch.float32 for p in run.model.parameters())
    return low or torch.is_autocast_enabled() or hasattr(run.called(), "_original_forward")
