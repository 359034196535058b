"""A model's tokenizer with a chat template that can be used, and a padding token."""

from pathlib import Path
from typing import Any

from holdfast.data.chat import require_template
from holdfast.data.rendering.dates import fix_date
from holdfast.data.rendering.templates import check_template
from holdfast.data.rendering.turns import check_turns
from holdfast.data.tokenizer import load_tokenizer
from holdfast.errors import ModelError
from holdfast.files.guarded.documents import text_in
from holdfast.inputs.loading.names import loaded

__all__ = ["bare_tokenizer", "tokenizer_of"]


def tokenizer_of(name: str, field: str, chat_template: Path | None, **options: Any) -> Any:
    """Return the tokenizer of a folder or hub id, ready for prompts.

    Args:
        name: The folder or hub id.
        field: What it was given as.
        chat_template: A Jinja file that replaces the tokenizer's own template.
        options: ``from_pretrained``'s.

    Raises:
        ModelError: There is none, or it has no template of use, or no token to pad with.
    """
    tokenizer = bare_tokenizer(name, field, chat_template, **options)
    require_template(tokenizer)
    fix_date(tokenizer)
    check_template(tokenizer, f"`{field}={name}`")
    check_turns(tokenizer, f"`{field}={name}`")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token_id is None:
        raise ModelError(f"`{field}={name}`: its tokenizer has neither a padding nor an end token")
    return tokenizer


def bare_tokenizer(name: str, field: str, chat_template: Path | None, **options: Any) -> Any:
    """Return the tokenizer as it is, with the given template if any; see ``tokenizer_of``."""
    revision = options.get("revision")
    load = lambda: load_tokenizer(name, **options)  # noqa: E731
    tokenizer = loaded(f"{name} (tokenizer)", field, load, revision)
    if chat_template is not None:
        try:
            tokenizer.chat_template = text_in(chat_template)
        except (OSError, ValueError) as error:
            said = f"`chat_template={chat_template}`: cannot be read: give a Jinja file"
            raise ModelError(said) from error
    return tokenizer
