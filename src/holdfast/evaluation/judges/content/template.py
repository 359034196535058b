"""What a judge is asked with: its model's own chat template, or the text that its card gives.

Verdicts of two templates are not one measure. So the hash of a template is recorded with each, and
may be pinned.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.data.rendering.dates import fix_date
from holdfast.data.rendering.templates import check_program
from holdfast.errors import ConfigError, ModelError

__all__ = ["SHORT", "check_pin", "digest", "disarmed", "form_of", "rendered"]

SHORT = 16
"""Hexadecimal digits of a hash that are recorded."""
Messages = Sequence[Mapping[str, str]]
_EXAMPLE = (
    {"role": "user", "content": "what is blue"},
    {"role": "assistant", "content": "the sky is"},
)


def digest(*parts: str) -> str:
    """Return the SHA-256 of texts, each apart from the next."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def check_pin(pinned: str, found: str) -> None:
    """Raise ``ConfigError``, naming both, where a pinned hash is another than the template's."""
    if not pinned:
        return
    if not re.fullmatch("[0-9a-f]{8,64}", pinned):
        raise ConfigError(f"template_hash={pinned!r} is no hash; give 8 to 64 hexadecimal digits")
    if not found.startswith(pinned):
        raise ConfigError(
            f"its template has the hash {found[:SHORT]} and template_hash={pinned} was pinned: "
            "verdicts of two templates are not one measure; give the model that has the pinned "
            f"one, or pin template_hash={found[:SHORT]}"
        )


def form_of(tokenizer: Any, options: Mapping[str, Any]) -> bool:
    """Return whether the chat template wants contents as lists of parts instead of text.

    Raises:
        ModelError: There is no chat template, or it shows neither question nor answer.
    """
    if not tokenizer.chat_template:
        raise ModelError(
            "its tokenizer has no chat template, and that is what this judge is asked with: give "
            "a folder that holds chat_template.jinja, or a tokenizer_config.json with it"
        )
    check_program(tokenizer, "the judge's model")
    fix_date(tokenizer)
    for parts in (False, True):
        text = _tried(tokenizer, options, parts=parts)
        if text is not None and all(m["content"] in text for m in _EXAMPLE):
            return parts
    raise ModelError(
        "its chat template does not show both the question and the answer, so there is nothing "
        "to judge: give the model that this judge is made for"
    )


def rendered(tokenizer: Any, messages: Messages, options: Mapping[str, Any], *, parts: bool) -> str:
    """Return the conversation in the chat template, as text."""
    shaped: list[Any] = [
        {**m, "content": [{"type": "text", "text": m["content"]}] if parts else m["content"]}
        for m in messages
    ]
    return str(tokenizer.apply_chat_template(shaped, tokenize=False, **options))


def disarmed(text: str, tokenizer: Any) -> str:
    """Return ``text`` with a blank inside of each control token: an answer ends no judge's turn."""
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    special = {str(token) for token in added if getattr(token, "special", True)}
    for token in sorted(special | set(tokenizer.all_special_tokens), key=len, reverse=True):
        if len(token) > 1:
            text = text.replace(token, f"{token[0]} {token[1:]}")
    return text


def _tried(tokenizer: Any, options: Mapping[str, Any], *, parts: bool) -> str | None:
    try:
        return rendered(tokenizer, _EXAMPLE, options, parts=parts)
    except Exception:  # noqa: BLE001  # A template may raise whatever it likes.
        return None
