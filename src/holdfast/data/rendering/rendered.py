"""The one call of a tokenizer's chat template, for text and for token ids."""

from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.data.rendering.dates import is_dated, with_fixed_date
from holdfast.errors import ModelError
from holdfast.files.guarded.limits import time_limit

__all__ = ["Messages", "Tools", "rendered", "rendered_ids", "require_template"]

Messages = Sequence[Mapping[str, Any]]
Tools = Sequence[Mapping[str, Any]] | None


def require_template(tokenizer: Any) -> None:
    """Raise ``ModelError`` when ``tokenizer`` cannot render messages."""
    if not getattr(tokenizer, "chat_template", None):
        name = getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__
        raise ModelError(
            f"the tokenizer of {name} has no chat template: give one with "
            "`chat_template=FILE.jinja`, or set tokenizer.chat_template before tuning"
        )


def rendered(messages: Messages, tokenizer: Any, *, generation: bool, tools: Tools = None) -> str:
    """Return ``messages`` as the chat template writes them.

    Raises:
        ModelError: The tokenizer has no chat template, or its template refuses the messages.
    """
    return str(_applied(messages, tokenizer, tools, add_generation_prompt=generation))


def rendered_ids(
    messages: Messages, tokenizer: Any, *, generation: bool, tools: Tools = None
) -> list[int]:
    """Return the token ids of ``messages`` as the chat template writes them.

    Raises:
        ModelError: The tokenizer has no chat template, or its template refuses the messages.
    """
    # transformers 5 returns a BatchEncoding unless told otherwise.
    how = {"add_generation_prompt": generation, "tokenize": True, "return_dict": False}
    return list(_applied(messages, tokenizer, tools, **how))


def _applied(messages: Messages, tokenizer: Any, tools: Tools, **how: Any) -> Any:
    require_template(tokenizer)
    plain = [dict(message) for message in messages]
    how = {"tokenize": False, **how}
    if tools:
        how["tools"] = [dict(tool) for tool in tools]
    if isinstance(tokenizer.chat_template, str) and is_dated(tokenizer.chat_template):
        how["chat_template"] = with_fixed_date(tokenizer.chat_template)
    try:
        with time_limit():
            return tokenizer.apply_chat_template(plain, **how)
    except Exception as error:
        # A template is a program of the model's author: it raises TemplateError for roles that it
        # does not know (Gemma has no system role), and anything else when it is broken.
        roles = ", ".join(str(message["role"]) for message in messages)
        said = f"the tokenizer's chat template refuses messages of the roles {roles}"
        why = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(f"{said}: {why}") from error
