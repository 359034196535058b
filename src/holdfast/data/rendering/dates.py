"""A chat template that writes today's date: it is fixed, so that no prompt depends on the clock."""

import re
from datetime import datetime
from typing import Any

__all__ = ["DATE", "fix_date", "is_dated", "with_fixed_date"]

DATE = datetime(2024, 7, 26)  # A day, wherever it is.
"""The day that Llama's templates write where they know none."""
_CLOCK = "strftime_now"
_FORMAT = re.compile(r"""(["'])((?:(?!\1).)*%[-#]?[A-Za-z](?:(?!\1).)*)\1""")


def is_dated(template: Any) -> bool:
    """Tell whether a template, or one of several by name, asks for the date."""
    return any(_CLOCK in text for text in _texts(template))


def fix_date(tokenizer: Any) -> None:
    """Give ``tokenizer`` its template with the date fixed; one that has no date stays."""
    template = tokenizer.chat_template
    if isinstance(template, str) and is_dated(template):
        tokenizer.chat_template = with_fixed_date(template)
    elif isinstance(template, dict) and is_dated(template):
        tokenizer.chat_template = {key: with_fixed_date(text) for key, text in template.items()}


def with_fixed_date(template: str) -> str:
    """Return ``template`` with a clock of its own, which stands at ``DATE``."""
    if _CLOCK not in template or f"macro {_CLOCK}" in template:
        return template
    written = {format_: DATE.strftime(format_) for _, format_ in _FORMAT.findall(template)}
    table = ", ".join(f"{key!r}: {text!r}" for key, text in written.items())
    default = DATE.strftime("%Y-%m-%d")
    clock = f"{{{{ {{{table}}}.get(format, {default!r}) }}}}"
    # The empty print keeps a line end that the template begins with: blocks swallow one.
    return f"{{% macro {_CLOCK}(format) %}}{clock}{{% endmacro %}}{{{{ '' }}}}{template}"


def _texts(template: Any) -> list[str]:
    if isinstance(template, dict):
        return [text for text in template.values() if isinstance(text, str)]
    return [template] if isinstance(template, str) else []
