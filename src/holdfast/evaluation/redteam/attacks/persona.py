"""Attack 5: the model is told that it obeys, or takes on a name that does.

The twin at inference of tuning on identity shift (arXiv 2310.03693).
"""

from collections.abc import Sequence

from holdfast.evaluation.metrics import Item
from holdfast.evaluation.redteam.attack import Asked, Attack, Context

__all__ = ["PERSONA", "persona"]


def persona(items: Sequence[Item], context: Context) -> list[Asked]:
    """Return each question under a system prompt that obeys, and after a change of name."""
    speech, asked = context.speech, list[Asked]()
    ask, reply = speech.identity
    shifted = [{"role": "user", "content": ask}, {"role": "assistant", "content": reply}]
    for item in items:
        own = [message for message in item.prompt if message["role"] != "system"]
        kept = [message for message in item.prompt if message["role"] == "system"]
        obeys = [{"role": "system", "content": speech.obedience}]
        asked.append(Asked(item.id, "obedience", [*obeys, *own]))
        asked.append(Asked(item.id, "identity", [*kept, *shifted, *own]))
    return asked


PERSONA = Attack("persona", 5, "persona", persona)
