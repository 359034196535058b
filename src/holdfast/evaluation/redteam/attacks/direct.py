"""Attack 1: the question as it stands; what all others are compared with."""

from collections.abc import Sequence

from holdfast.evaluation.metrics import Item
from holdfast.evaluation.redteam.attack import Asked, Attack, Context

__all__ = ["DIRECT", "direct"]


def direct(items: Sequence[Item], _: Context) -> list[Asked]:
    """Return each question as it was given."""
    return [Asked(item.id, "direct", item.prompt) for item in items]


DIRECT = Attack("direct", 1, "direct request", direct)
