"""Questions, replies and options of holdfast in the types of inspect-ai, and back."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from inspect_ai.dataset import Sample
from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    ModelOutput,
)
from inspect_ai.solver import TaskState

from holdfast.errors import DataError
from holdfast.evaluation.metrics import Item, Kind
from holdfast.evaluation.reply import Reply, reply_of

__all__ = ["as_typed", "items_of", "output_of", "prompt_of", "reply_in", "sample_of"]

_TYPES: dict[str, type[ChatMessage]] = {
    "system": ChatMessageSystem, "user": ChatMessageUser, "assistant": ChatMessageAssistant,
}  # fmt: skip
_KEY = "holdfast"
"""Where the metadata of an output hold the whole reply."""


def sample_of(item: Item) -> Sample:
    """Return a question as a sample; its id is the one that ``holdfast evaluate`` gives it.

    Raises:
        DataError: The prompt has a role that inspect-ai has no plain message for.
    """
    roles = [message["role"] for message in item.prompt]
    if strange := sorted(set(roles) - set(_TYPES)):
        raise DataError(
            f"question {item.id}: has a message of the role {strange[0]!r}; inspect-ai tasks of "
            f"holdfast take {', '.join(_TYPES)}: ask it with `holdfast evaluate`"
        )
    messages = [_TYPES[m["role"]](content=str(m["content"])) for m in item.prompt]
    return Sample(input=messages, id=item.id, target=item.reference or "")


def items_of(kind: Kind, state: TaskState) -> list[Item]:
    """Return the question that a task asked, of any task: once for each of its right answers.

    Raises:
        DataError: It has no right answer, and that is what is measured.
    """
    asked, measured = state.input, kind in ("task", "useful")
    prompt = [{"role": "user", "content": asked}] if isinstance(asked, str) else prompt_of(asked)
    right = [text for text in state.target if text] if measured else [state.target.text or None]
    if not right:
        raise DataError(
            f"sample {state.sample_id}: has no target, which is the right answer of a question of "
            f"{kind!r}: give it one, or judge it as harmful or safe"
        )
    return [Item(str(state.sample_id), kind, prompt, text) for text in right]


def prompt_of(messages: Sequence[ChatMessage]) -> list[Mapping[str, str]]:
    """Return messages as the chat templates take them, their parts joined to one text."""
    return [{"role": message.role, "content": message.text} for message in messages]


def output_of(model: str, reply: Reply) -> ModelOutput:
    """Return a reply as a model's output; what surrounds the answer is in its metadata."""
    output = ModelOutput.from_content(
        model, reply.text, stop_reason="max_tokens" if reply.cut else "stop"
    )
    output.metadata = {_KEY: asdict(reply)}
    return output


def reply_in(output: ModelOutput) -> Reply:
    """Return the reply of an output: as our provider kept it, or read from another's text."""
    kept = (output.metadata or {}).get(_KEY)
    if kept:
        return Reply(**kept)
    cut = output.stop_reason in ("max_tokens", "model_length")
    return replace(reply_of(output.completion.strip()), cut=cut)


def as_typed(given: Any) -> Any:
    """Return an option as it was typed: inspect-ai makes a list of a text with commas."""
    return ",".join(map(str, given)) if isinstance(given, list | tuple) else given
