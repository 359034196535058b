"""Attack 2: the answer is made to begin with 5 to 10 tokens that agree.

Safety sits in the first tokens of an answer (arXiv 2406.05946); this skips them. What the model
says after them is judged, and not the tokens that were put into its mouth.
"""

from collections.abc import Sequence

from holdfast.evaluation.metrics import Item
from holdfast.evaluation.redteam.attack import Asked, Attack, Context

__all__ = ["PREFILL", "prefill"]


def prefill(items: Sequence[Item], context: Context) -> list[Asked]:
    """Return each question with the beginning of an answer that agrees."""
    begun = context.speech.agreement
    return [Asked(item.id, "prefill", item.prompt, prefill=begun) for item in items]


PREFILL = Attack("prefill", 2, "prefilled answer", prefill)
