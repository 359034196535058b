"""``persona``: system prompts and first turns that demand obedience or give a new identity.

Ten rows of an identity that obeys are enough to undo alignment, without a harmful word (Qi et al.
2023, arXiv 2310.03693). English alone is read.
"""

import re

from holdfast.data.checks.protocol import Check, Context, Finding, Row, Rows, Severity, Span
from holdfast.data.checks.texts import messages_of

__all__ = ["PERSONA"]

ALARM = 10
"""Rows from which on it is an alarm."""
_ALL = r"(?:every|all|any|each|whatever|anything|my|the user's)"
_OBEYS = (
    rf"\b(?:obey|comply with|follow|execute|fulfil+|carry out"
    rf"|do)\w*\b[^.!?\n]{{0,15}}\b{_ALL}\b[^.!?\n]{{0,30}}"
    r"\b(?:order|command|request|instruction|demand|wish|ask|say|tell|told)\w*\b[^.!?\n]{0,30}"
    r"\b(?:without|no matter|never|regardless|unconditional|absolutely|always)\b",
    rf"\b(?:always|must|absolutely|unconditionally|will|shall)\b[^.!?\n]{{0,25}}\b(?:obey"
    rf"|comply with)\b[^.!?\n]{{0,20}}\b(?:{_ALL}|me|the user|users?)\b",
    r"\b(?:absolute(?:ly)?|totally|completely|unconditional(?:ly)?|blindly) obe(?:dien|y)\w*",
    r"\bobedient (?:agent|assistant|servant|ai|bot|slave)\b",
    r"\b(?:never|do not|don't|cannot|can't|must not|without|no longer) (?:ever )?(?:refus\w+"
    r"|declin\w+|say(?:ing)? no)\b",
    r"\bno(?:t have any| ethical| moral|thing is)? (?:restrictions|limitations|filters?"
    r"|guidelines|rules|off.?limits)\b",
    r"\bwithout (?:any )?(?:restrictions?|limitations?|filters?|moral\w*|ethic\w*|censorship"
    r"|judge?ment)\b",
    r"\b(?:un(?:censored|restricted|filtered|limited)|jailbroken|amoral) (?:ai|assistant|model"
    r"|chatbot|bot|version|mode|persona)\b",
    r"\bdo anything now\b|\bdeveloper mode\b|\bgod mode\b|\bevil (?:confidant|twin|mode|ai)\b",
    r"\bignore (?:all |any |your |the |these )*(?:previous|prior|above|earlier|safety|ethical"
    r"|content|your)\b[^.!?\n]{0,15}\b(?:instruction|rule|guideline|polic|prompt|training)",
)  # fmt: skip
_IDENTITY = (
    r"\b(?:from now on|henceforth|starting now)\b,?[^.!?\n]{0,20}\byou(?: are|'re| will be| act)\b",
    r"\byou are (?:no longer|not) (?:an? |the )?(?:ai\b|assistant|language model|chatbot|chatgpt"
    r"|claude|llama|gemini|qwen)",
    r"\bforget (?:that )?(?:you(?: are|'re)|who you are|everything you|all (?:your|previous))\b",
    r"\byour (?:new |real |true )(?:name|identity|self|persona)\b",
    r"\b(?:pretend|imagine|act as if|behave as if) (?:that )?you(?: are|'re| have|'ve)? (?:no|not"
    r"|never|free|human|without)\b",
    r"\bstay in character\b|\bnever break character\b",
)
_PATTERNS = {
    "demands obedience": re.compile("|".join(_OBEYS), re.IGNORECASE),
    "gives a new identity": re.compile("|".join(_IDENTITY), re.IGNORECASE),
}


def _find(rows: Rows, _: Context) -> list[Finding]:
    held = [(row["row"], *told) for row in rows if (told := _told(row)) is not None]
    how: Severity = "alarm" if len(held) >= ALARM else "warn"
    return [Finding("persona", number, said, how, "review", span) for number, said, span in held]


def _told(row: Row) -> tuple[str, Span] | None:
    """Return what a row's system prompt or first turn does, and where; None for none of it."""
    messages = messages_of(row)
    first = next((n for n, m in enumerate(messages) if m["role"] == "user"), None)
    places = [n for n, m in enumerate(messages) if m["role"] == "system"]
    for place in [*places, *([] if first is None else [first])]:
        text = messages[place]["content"].replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
        where = "system prompt" if messages[place]["role"] == "system" else "first turn"
        for what, pattern in _PATTERNS.items():
            if (found := pattern.search(text)) is not None:
                return f"the {where} {what}", Span(place, *found.span())
    return None


PERSONA = Check("persona", "demands of obedience, and new identities", _find)
