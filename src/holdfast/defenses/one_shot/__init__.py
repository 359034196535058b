"""One-shot repair: a few updates on a single refusal take a tuned model back to refusing."""

from holdfast.defenses.one_shot.apply import apply_one_shot
from holdfast.defenses.one_shot.one_shot import OneShot
from holdfast.defenses.one_shot.updates import truncated

__all__ = ["OneShot", "apply_one_shot", "truncated"]
