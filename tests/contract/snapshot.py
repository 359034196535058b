"""Everything about a model and its trainer, weights aside, that a run could leave changed."""

from typing import Any

from torch import nn

_HOOKS = (
    "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks",
    "_state_dict_hooks", "_state_dict_pre_hooks", "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)  # fmt: skip
_ADAPTERS = ("active_adapters", "merged_adapters", "disable_adapters", "scaling")


def modules(model: nn.Module) -> dict[str, Any]:
    """Return each module's class, attributes, hooks and adapters."""
    return {
        name: (
            type(module).__qualname__,
            sorted(vars(module)),
            {slot: len(getattr(module, slot, ())) for slot in _HOOKS},
            {a: repr(getattr(module, a, None)) for a in _ADAPTERS},
        )
        for name, module in model.named_modules()
    }


def tensors(model: nn.Module) -> dict[str, Any]:
    """Return each parameter's and buffer's type, gradient flag and hooks."""
    named = [*model.named_parameters(), *model.named_buffers()]
    return {
        name: (
            str(p.dtype), str(p.device), tuple(p.shape), p.requires_grad, sorted(vars(p)),
            len(p._backward_hooks or ()),
            len(getattr(p, "_post_accumulate_grad_hooks", None) or ()),
        )
        for name, p in named
    }  # fmt: skip


def training_flags(model: nn.Module) -> dict[str, bool]:
    """Return each module's training flag."""
    return {name: module.training for name, module in model.named_modules()}


def gradients(model: nn.Module) -> set[str]:
    """Return the names of the parameters that hold a gradient."""
    return {name for name, p in model.named_parameters() if p.grad is not None}


def surroundings(trainer: Any) -> dict[str, Any]:
    """Return what a run could leave changed on the trainer."""
    return {
        "callbacks": [type(c).__name__ for c in trainer.callback_handler.callbacks],
        "own attributes that are functions": sorted(
            k for k, v in vars(trainer).items() if callable(v) and k in dir(type(trainer))
        ),
        "session": getattr(trainer, "session", None),
        "step": getattr(trainer, "_step", None),
        "rows": id(trainer.train_dataset),
    }


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return one line per entry that differs."""
    keys = [*before, *(k for k in after if k not in before)]
    return [
        f"{k or 'model'}: {before.get(k)} → {after.get(k)}"
        for k in keys
        if before.get(k) != after.get(k)
    ]
