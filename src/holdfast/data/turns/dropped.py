"""What a chat template leaves out of a conversation: it is not learned, whatever the row holds."""

from typing import Any

from holdfast.data.rendering.rendered import rendered
from holdfast.data.turns.conversation import Conversation
from holdfast.data.turns.marks import located
from holdfast.errors import ModelError

__all__ = ["dropped"]

_WORDS = {"close": "what a message says", "reasoning": "reasoning", "call": "calls of tools"}


def dropped(conversation: Conversation, tokenizer: Any) -> set[str]:
    """Return in words what of a conversation is nowhere in its rendering, of any message.

    Reasoning that a template keeps in the last turns alone is left out of the others.
    """
    messages, tools = conversation.messages, conversation.tools
    try:
        found = located(messages, tokenizer, generation=False, tools=tools)
        without = rendered(messages, tokenizer, generation=False) if tools else None
    except ModelError:
        return set()  # Whoever encodes the row says what is wrong.
    if found is None:
        return set()
    lost = {_WORDS[end] for _, end in found.given - found.places.keys() if end in _WORDS}
    return lost | ({"the list of tools"} if without == found.text else set())
