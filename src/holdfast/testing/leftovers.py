"""What a run could leave changed on a model and its trainer, and runs that break at a place."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from torch import nn

from holdfast.defense import Defense

__all__ = ["PlantedError", "broken_hook", "changes", "on_model", "on_trainer"]

_ADAPTERS = ("active_adapters", "merged_adapters", "disable_adapters", "scaling")
State = dict[str, Any]


class PlantedError(Exception):
    """The planted error."""


def on_model(model: nn.Module) -> State:
    """Return each module's class, attributes, hooks, adapters and mode, and each tensor's kind."""
    modules: State = {
        name: (
            type(module).__qualname__, sorted(vars(module)),
            {slot: len(held) for slot, held in vars(module).items() if slot.endswith("_hooks")},
            {a: repr(getattr(module, a, None)) for a in _ADAPTERS},
        )
        for name, module in model.named_modules()
    }  # fmt: skip
    modes: State = {f"mode of {name}": m.training for name, m in model.named_modules()}
    tensors: State = {
        f"tensor {name}": (
            str(p.dtype), str(p.device), tuple(p.shape), p.requires_grad, sorted(vars(p)),
            len(p._backward_hooks or ()),  # type: ignore[reportPrivateUsage]
            len(getattr(p, "_post_accumulate_grad_hooks", None) or ()),
        )
        for name, p in [*model.named_parameters(), *model.named_buffers()]
    }  # fmt: skip
    return modules | modes | tensors


def on_trainer(trainer: Any) -> State:
    """Return what a run could leave changed on the trainer."""
    held = getattr(trainer, "_holdfast", None)
    return {
        "callbacks": [type(c).__name__ for c in trainer.callback_handler.callbacks],
        "own attributes that are functions": sorted(
            k for k, v in vars(trainer).items() if callable(v) and k in dir(type(trainer))
        ),
        "session": getattr(held, "session", None),
        "step": getattr(held, "step", None),
        "rows": id(trainer.train_dataset),
    }


def changes(before: State, after: State) -> list[str]:
    """Return one line per entry that differs."""
    keys = [k for k in {**before, **after} if before.get(k) != after.get(k)]
    return [f"{k or 'model'}: {before.get(k)} → {after.get(k)}" for k in keys]


@contextmanager
def broken_hook(defense: Defense, hook: str) -> Generator[None]:
    """Let the hook do its work and then raise; a context raises right after it was entered."""
    own = getattr(defense, hook)

    def call(*args: Any, **kwargs: Any) -> Any:
        own(*args, **kwargs)
        raise PlantedError(hook)

    @contextmanager
    def enter(*args: Any, **kwargs: Any) -> Generator[None]:
        with own(*args, **kwargs):
            raise PlantedError(hook)
            yield

    vars(defense)[hook] = enter if hook in ("attached", "served") else call
    try:
        yield
    finally:
        del vars(defense)[hook]
