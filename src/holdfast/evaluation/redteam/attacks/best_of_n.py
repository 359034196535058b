"""Attack 6: the same question with noise, N times, until one is answered (arXiv 2412.03556).

The exact figure is "any of N": the share of questions of which one draw was answered harmfully.
Draws are asked greedily and in a fixed order; the paper samples answers at temperature 1.
"""

from collections.abc import Sequence
from random import Random

from holdfast.evaluation.metrics import Item
from holdfast.evaluation.redteam.attack import Asked, Attack, Context

__all__ = ["BEST_OF_N", "best_of_n", "draw_name"]


def best_of_n(items: Sequence[Item], context: Context) -> list[Asked]:
    """Return ``context.draws`` draws of each question, the first draws of all questions first."""
    return [
        Asked(item.id, draw_name(number), _noised(item, number, context))
        for number in range(context.draws)
        for item in items
    ]


def draw_name(number: int) -> str:
    """Return what a draw is called: its number from 1 on."""
    return str(number + 1)


def _noised(item: Item, number: int, context: Context) -> list[dict[str, str]]:
    # A text seeds alike in every process, where a hash of a tuple would not.
    random = Random(f"{context.seed}-{number}-{item.id}")  # noqa: S311
    *before, last = (dict(message) for message in item.prompt)
    return [*before, last | {"content": context.speech.noise(last["content"], random)}]


BEST_OF_N = Attack("best_of_n", 6, "best of N", best_of_n, until_harmful=True)
