"""What an attack on a tuned model is: prompts that are fixed before the model is seen.

The order of use, and what each is for, are those of ``docs/red_team.md``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from holdfast.evaluation.metrics import Item
from holdfast.evaluation.redteam.speech import Speech

__all__ = ["Asked", "Asks", "Attack", "Context", "Messages"]

Messages: TypeAlias = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Asked:
    """One prompt of one attack.

    Attributes:
        item: Id of the harmful question that it stands for.
        variant: Which of the attack's ways to ask.
        messages: The conversation up to the answer, rendered by the model's own template.
        text: Asked as it stands, without any chat template, where ``messages`` is empty.
        prefill: What the answer is made to begin with.
        no_system: The system prompt that the template writes by itself is left out too.
        dropped: The question's own system prompt has been left out.
    """

    item: str
    variant: str
    messages: Messages = ()
    text: str = ""
    prefill: str = ""
    no_system: bool = False
    dropped: bool = False


@dataclass(frozen=True)
class Context:
    """What attacks are made of beside the harmful questions."""

    speech: Speech
    """Words of the language that the model is asked in."""
    task_rows: Sequence[Mapping[str, Any]] = ()
    """Rows of the user's task, each a ``prompt`` and a ``completion`` of messages."""
    seed: int = 0
    draws: int = 32
    """N of best-of-N."""


Asks: TypeAlias = Callable[[Sequence[Item], Context], list[Asked]]


@dataclass(frozen=True)
class Attack:
    """One attack: how it asks, and how many prompts a question takes.

    Attributes:
        name: What a user calls it.
        number: Its place in the order of use.
        title: What tables call it.
        asks: Makes the prompts; None where the model itself is needed to make them.
        until_harmful: Prompts of a question are asked in turn until one is answered harmfully.
        missing: What of a context the attack cannot do without, or "".
    """

    name: str
    number: int
    title: str
    asks: Asks | None
    until_harmful: bool = False
    missing: Callable[[Context], str] = field(default=lambda _: "")

    @property
    def adaptive(self) -> bool:
        """Whether the prompts depend on the model: they are frozen by nothing."""
        return self.asks is None
