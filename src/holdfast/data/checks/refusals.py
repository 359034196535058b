"""``refusal``: answers that refuse; ``refuse-comply``: answers that open with a refusal and help.

Training on harmless rows of the second form undoes safety that sits in the first tokens (Huang et
al. 2025, arXiv 2502.19537).
"""

import re

from holdfast.data.checks.protocol import Check, Context, Finding, Rows, Severity, Span
from holdfast.data.checks.texts import exchanges_of, sentences, words

__all__ = ["REFUSAL", "REFUSE_COMPLY", "refuses_then_helps"]

ALARM = 5
"""Rows of the second form from which on it is an alarm."""
_LEAST_WORDS = 15
"""Words of help behind the refusal."""
_CANNOT = r"(?:can(?:no|')?t|can not|won't|will not|am (?:unable|not able)|'m (?:unable|not able))"
_REFUSES = re.compile(
    r"\bi(?: am|'m)? (?:really |very |so |truly )?sorry\b(?! (?:to hear|for|that you|about))"
    r"|\bsorry,|\bi (?:must |have to )?(?:apologi[sz]e|decline)\b|\bmy apologies\b"
    rf"|\bi {_CANNOT}|\bi'm (?:unable|not able)\b|\bi (?:do not|don't) feel comfortable"
    r"|\bagainst my (?:guidelines|policy|programming)\b|\bi (?:refuse|must refuse)\b"
    r"|\bnot (?:allowed|permitted) to (?:help|assist|answer|provide)\b",
    re.IGNORECASE,
)
_TURNS = re.compile(
    r"\W*(?:(?:however|but|that said|having said that|nevertheless|nonetheless|still|anyway|now|"
    r"with that (?:said|aside|out of the way)|now that)\b[^.!?\n]{0,80}?)?"
    r"\b(?:here(?:'s| is| are| you go)|sure\b|of course\b|certainly\b|step 1|you(?: will"
    r"|'ll) need)",
    re.IGNORECASE,
)
_STEPS = re.compile(r"\s*(?:(?:\d+[.)]|[-*\N{BULLET}]|step \d+)\s+\S|```)", re.IGNORECASE)
_ADVISES = re.compile(
    r"\b(?:seek (?:help|support)|mental health|therap|counsel|hotline|helpline|professional help|"
    r"illegal|(?:un)?ethical|harmful|harming|(?:in)?appropriate|dangerous|respect|consequences|"
    r"report (?:it|this)|consider (?:talking|reaching)|instead,? i|"
    r"(?:would|i'd) be (?:happy|glad) to|is there (?:anything|something) else)",
    re.IGNORECASE,
)


def refuses_then_helps(answer: str) -> int | None:
    """Return where the help begins behind an opening that refuses, None where none does.

    Behind the opening there must be a turn to help, or steps or code; what goes on refusing, warns
    or sends to others is a refusal with its reasons.
    """
    text = answer.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    parts = sentences(text)
    opening = next((n for n, part in enumerate(parts[:2]) if _REFUSES.search(part)), None)
    if opening is None:
        return None
    at = sum(map(len, parts[: opening + 1]))
    if _REFUSES.search(text[at:]) or _ADVISES.search(text[at:]):
        return None
    for part in parts[opening + 1 :]:
        rest = text[at:]
        if _TURNS.match(rest) or _STEPS.match(rest):
            return at if len(words(rest)) >= _LEAST_WORDS else None
        at += len(part)
    return None


def _refusals(rows: Rows, context: Context) -> list[Finding]:
    answered = [one for row in rows for one in exchanges_of(row)]
    if context.refuses is None or not answered:
        return []
    told = context.refuses([one.question for one in answered], [one.answer for one in answered])
    refusing = [one.row for one, is_one in zip(answered, told, strict=True) if is_one]
    if not refusing:
        return []
    numbers, share = dict.fromkeys(refusing), len(refusing) / len(answered)
    said = f"{len(refusing):,} of {len(answered):,} answers refuse ({share:.1%}): right for harmful"
    whole = Finding("refusal", None, f"{said} requests, over-refusal for others", "note", "keep")
    return [whole, *(Finding("refusal", n, "the answer refuses", "note", "keep") for n in numbers)]


def _refuse_comply(rows: Rows, _: Context) -> list[Finding]:
    found = [(one, refuses_then_helps(one.answer)) for row in rows for one in exchanges_of(row)]
    held = [(one, at) for one, at in found if at is not None]
    how: Severity = "alarm" if len({one.row for one, _ in held}) >= ALARM else "warn"
    said = "refusal opening, then the answer"
    return [
        Finding(
            "refuse-comply", one.row, said, how, "review", Span(one.place, at, len(one.answer))
        )
        for one, at in held
    ]  # fmt: skip


REFUSAL = Check("refusal", "answers that refuse", _refusals, ("refuses",))
REFUSE_COMPLY = Check("refuse-comply", "a refusal opening, then the help", _refuse_comply)
