"""Lisa: alignment and user steps in turns, each held near the weights where it began."""

from holdfast.defenses.lisa.lisa import Lisa, Turn, proximal_gradient, turn_at

__all__ = ["Lisa", "Turn", "proximal_gradient", "turn_at"]
