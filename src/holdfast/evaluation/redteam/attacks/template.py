"""Attack 4: another chat template, none, and no system prompt.

Templates carry safety: a model that was tuned and asked with one may refuse under it alone
(arXiv 2402.18540).
"""

from collections.abc import Sequence

from holdfast.evaluation.metrics import Item
from holdfast.evaluation.redteam.attack import Asked, Attack, Context

__all__ = ["TEMPLATE", "template"]


def template(items: Sequence[Item], context: Context) -> list[Asked]:
    """Return each question without the model's own template, and without a system prompt."""
    asked: list[Asked] = []
    for item in items:
        for variant, text in context.speech.templates.items():
            asked.append(Asked(item.id, variant, text=text.replace("{question}", item.question)))
        bare = [message for message in item.prompt if message["role"] != "system"]
        dropped = len(bare) < len(item.prompt)
        asked.append(Asked(item.id, "no_system", bare, no_system=True, dropped=dropped))
    return asked


TEMPLATE = Attack("template", 4, "another template", template)
