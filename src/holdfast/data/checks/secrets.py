"""``secret``: keys, tokens and card numbers, found by their own patterns and check digits."""

import re
from collections.abc import Callable, Iterator

from holdfast.data.checks.protocol import Check, Context, Finding, Rows, Span
from holdfast.data.checks.texts import messages_of

__all__ = ["SECRET", "luhn"]


def luhn(digits: str) -> bool:
    """Tell whether the last digit is the check digit of the others (ISO/IEC 7812-1)."""
    values = [int(each) for each in reversed(digits)]
    doubled = [sum(divmod(2 * each, 10)) for each in values[1::2]]
    return (sum(values[::2]) + sum(doubled)) % 10 == 0


def _is_card(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    return 13 <= len(digits) <= 19 and len(set(digits)) > 3 and luhn(digits)


def _is_iban(text: str) -> bool:
    """Tell whether the check digits are right (ISO 13616): the number is 1 modulo 97."""
    plain = re.sub(r"\s", "", text)
    return int("".join(str(int(each, 36)) for each in plain[4:] + plain[:4])) % 97 == 1


def _mixed(text: str) -> bool:
    """Tell whether a text has what a drawn key has and a word has not."""
    return bool(re.search(r"\d", text) and re.search(r"[a-z]", text) and len(set(text)) >= 12)


def _always(_: str) -> bool:
    return True


_KINDS: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
    ("a private key", re.compile(
        r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----[\s\S]{40,}?(?:-----END|\Z)"), _always),
    ("a key of AWS", re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"), _always),
    ("a token of GitHub", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}"
        r"|github_pat_\w{40,})"), _always),
    ("a key of an AI service", re.compile(r"\bsk-(?:ant-|proj-|or-)?[A-Za-z0-9_-]{20,}"), _mixed),
    ("a token of Hugging Face", re.compile(r"\bhf_[A-Za-z0-9]{30,}"), _mixed),
    ("a token of Slack", re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{20,}"), _always),
    ("a key of Google", re.compile(r"\bAIza[0-9A-Za-z_-]{35}"), _always),
    ("a key of Stripe", re.compile(r"\b[sr]k_live_[0-9A-Za-z]{16,}"), _always),
    ("a JSON Web Token", re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"), _always),
    ("a password in an address", re.compile(
        r"\b[a-z][a-z0-9+.-]*://[^\s/:@]+:[^\s/:@]{3,}@\S+"), _always),
    ("a card number", re.compile(
        r"(?<![\d.,-])(?:4\d{3}|5[1-5]\d{2}|2[2-7]\d{2}|6011|65\d{2}|3[47]\d{2}|3[068]\d{2})"
        r"(?:[ -]?\d{4}){2}[ -]?\d{1,7}(?![\d-]|[.,]\d)"
        r"|(?<!\d)3[47]\d{2}[ -]?\d{6}[ -]?\d{5}(?!\d)"), _is_card),
    ("a bank account number", re.compile(
        r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b"), _is_iban),
)  # fmt: skip


def _find(rows: Rows, _: Context) -> list[Finding]:
    return [
        Finding("secret", row["row"], f"holds {what}", "alarm", "mask", Span(place, *at))
        for row in rows
        for place, message in enumerate(messages_of(row))
        for what, at in _in(message["content"])
    ]


def _in(text: str) -> Iterator[tuple[str, tuple[int, int]]]:
    for what, pattern, is_one in _KINDS:
        yield from ((what, m.span()) for m in pattern.finditer(text) if is_one(m[0]))


SECRET = Check("secret", "keys, tokens, card and account numbers", _find)
