"""The tags between which models think: no answer, and no turn of anybody."""

import re

__all__ = ["CLOSING", "OPENING", "is_thinking_tag", "may_be_text"]

_NAMES = (
    r"(?:thinking|think|thoughts?|thinking_process|reasoning|reason|reflection|scratch_?pad"
    r"|inner_(?:monologue|thoughts?)|cot)"
)
OPENING = re.compile(
    rf"<(?:\w+[:_])?{_NAMES}(?:\s[^<>]*)?>|<\|(?:begin_of_|start_of_|start_|begin_)?{_NAMES}\|>"
    r"|\[THINK\]|◁think▷|<\|channel\|>(?!final)\w+[^<]*<\|message\|>"
    r"|<\|channel>(?:thought|analysis)\b|<unused94>",
    re.IGNORECASE,
)
CLOSING = re.compile(
    rf"</(?:\w+[:_])?{_NAMES}\s*>|<\|(?:/|end_of_|end_){_NAMES}\|>"
    r"|\[/THINK\]|◁/think▷|<\|channel\|>final[^<]*<\|message\|>|<channel\|>|<unused95>",
    re.IGNORECASE,
)
_WORD = re.compile(r"<(?:reason|reasoning|reflection|thoughts?|cot)>", re.IGNORECASE)


def is_thinking_tag(word: str) -> bool:
    """Tell whether a token is a tag of thinking."""
    return bool(OPENING.fullmatch(word) or CLOSING.fullmatch(word))


def may_be_text(tag: str) -> bool:
    """Tell whether an opening tag is a word that texts hold as a blank to fill in: ``<reason>``."""
    return bool(_WORD.fullmatch(tag))
