"""What DeepSpeed leaves to a method: what is done to rows before any engine sees them.

Each ``backward`` of DeepSpeed's at the end of an accumulation is followed by its optimizer step,
its gradients lie in its own buffers, and a weight has a second copy that it is written back from.
So no gradient can be added behind the user's backward, and an edit of a weight would be lost,
without an error. What is not exact is refused before step 0.
"""

from collections.abc import Mapping
from typing import Any

from holdfast.ops.engines.capabilities import Capability

__all__ = ["deepspeed_limits"]

_INSTEAD = (
    "train with FSDP2 (`fsdp_version: 2`) or DistributedDataParallel, for which it is exact, or "
    "repair the tuned model afterwards (`holdfast repair`)"
)
_STEPS = "DeepSpeed steps its optimizer at the user's own backward, and no gradient comes after it"
_BUFFERS = (
    "DeepSpeed writes weights back from copies of its own, and an edit of a weight would be lost"
)
_NEVER = {
    Capability.EXTRA_BACKWARD: _STEPS,
    Capability.REPEATS: f"{_STEPS}; a second pass would be a second step",
    Capability.SKIPS: f"{_STEPS}; a step without one is none",
    Capability.FREEZES: (
        "DeepSpeed takes a missing gradient for zeros, so that a frozen weight's moments go on"
    ),
    Capability.EDITS_WEIGHTS: _BUFFERS,
    Capability.ATTACHMENT: _BUFFERS,
    Capability.TRAINING: _STEPS,
}
_NOT_WITH_ALL = {
    Capability.LEARNING_RATES: (
        "DeepSpeed leaves out groups without weights, as an adapter has them, and rates are told "
        "by group"
    ),
    Capability.LOGITS: (
        "under DeepSpeed's ZeRO-3 a look at the loss before step 0 breaks off with an adapter"
    ),
    Capability.HOOKS: (
        "what it does under DeepSpeed has not been compared with one process, so nobody knows that "
        "it acts there"
    ),
}
"""Equal to one process in tuning all weights (but for hooks); it was run with 0.19.8."""


def deepspeed_limits(config: Mapping[str, Any]) -> dict[Capability, str]:
    """Return what a run under this DeepSpeed configuration cannot give a defense, and why.

    Args:
        config: DeepSpeed's own configuration, as the trainer holds it.
    """
    found = _NEVER | _NOT_WITH_ALL
    named = [part for part in ("optimizer", "scheduler") if config.get(part)]
    if named:
        found[Capability.LEARNING_RATES] = (
            f"the DeepSpeed configuration names its own {' and '.join(named)}, which drops the "
            "rates of groups without a word"
        )
    return {what: f"{why}; {_INSTEAD}" for what, why in found.items()}
