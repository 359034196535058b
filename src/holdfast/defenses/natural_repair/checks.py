"""What the fields of a natural repair may be, and how long its steps are."""

from typing import Any

from torch import nn

from holdfast.defense import Run, in_range
from holdfast.errors import ConfigError
from holdfast.files.weights import open_weights
from holdfast.ops.engines.sharded import laid_out
from holdfast.ops.gradients import global_norm
from holdfast.ops.modules import plain_name, trainable

__all__ = ["check_fields", "check_length", "length_of"]

CHOICES = {
    "direction": ("refusal", "harm", "both", "random"),
    "metric": ("fisher", "euclidean"),
    "refusals": ("auto", "rows", "base"),
    "rise_from": ("tuned", "aligned"),
}  # fmt: skip


def check_fields(repair: Any) -> None:
    """Raise ``ConfigError`` where a field is out of range."""
    name = repair.card.name
    wrong = [field for field, allowed in CHOICES.items() if getattr(repair, field) not in allowed]
    for field in wrong[:1]:
        given, allowed = getattr(repair, field), ", ".join(CHOICES[field])
        raise ConfigError(f"{name}: {field}={given!r} must be one of {allowed}")
    for field, high in (("step", 1e3), ("keep", 1e6), ("damping", 1e12)):
        in_range(repair, field, 0.0, high)
    if repair.damping == 0:
        raise ConfigError(f"{name}: damping=0 must be more than 0: where F is 0 it is all there is")
    for field in ("steps", "rows", "batch_size", "per_step", "max_new_tokens"):
        in_range(repair, field, 1)
    for field in ("max_task_drop", "max_over_refusal"):
        in_range(repair, field, 0.0, 1.0)
    for field, high in (("length", 1e6), ("enough", 1.0)):
        if getattr(repair, field) is not None:
            in_range(repair, field, 0.0, high)


def check_length(repair: Any, model: nn.Module) -> None:
    """Raise ``ConfigError`` where nobody can tell what training changed, so no share of it."""
    given = repair.length is not None or repair.aligned is not None
    if not given and not any(".lora_B." in name for name in trainable(model)):
        raise ConfigError(
            f"{repair.card.name}: step={repair.step:g} is a share of what training changed, and of "
            "fully tuned weights nobody knows what they were: give aligned=DIR (the folder of the "
            "model before tuning), or length= in raw parameter space"
        )
    if repair.aligned is not None:
        open_weights(repair.aligned, f"{repair.card.name}: aligned", model)


def length_of(repair: Any, run: Run) -> float:
    r"""Return the length of a step.

    It is a share of :math:`\lVert B\rVert` over all LoRA layers, which training begins at 0, or of
    :math:`\lVert w - w_{aligned}\rVert`; so one value does for models of different sizes.
    """
    if repair.length is not None:
        return float(repair.length)
    trained = run.engine.parameters()
    factors = {name: p for name, p in trained.items() if ".lora_B." in name}
    if factors:
        return repair.step * global_norm(factors)
    saved = open_weights(repair.aligned, f"{repair.card.name}: aligned", run.model)
    before = ((laid_out(saved.read(plain_name(n), p), p), p) for n, p in trained.items())
    return repair.step * sum(global_norm({"": p - b}) ** 2 for b, p in before) ** 0.5
