"""An error that stands in an answer: some gateways send HTTP 200 and ``{"error": ...}``."""

from collections.abc import Mapping
from typing import Any

__all__ = ["NO_STATUS", "error_in", "stated_status"]

NO_STATUS = 0
"""An error is told, and no status with it."""
_MEANT = {
    "rate_limit_exceeded": 429, "rate_limit_error": 429, "insufficient_quota": 429,
    "invalid_api_key": 401, "authentication_error": 401, "permission_error": 403,
    "model_not_found": 404, "not_found_error": 404, "content_filter": 400,
    "content_policy_violation": 400, "invalid_request_error": 400,
}  # fmt: skip
"""Words of OpenAI's and Anthropic's interfaces, and the status that they are sent with."""


def error_in(document: Any) -> Any:
    """Return the error that an answer tells: its own, or its first choice's; None without one."""
    if not isinstance(document, Mapping):
        return None
    if told := _told(document):
        return told
    choices = document.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(first, Mapping):
        return None
    return _told(first) or ("error" if first.get("finish_reason") == "error" else None)


def _told(document: Mapping[str, Any]) -> Any:
    """Return the error of an answer or a choice; some servers send an empty one with each."""
    error = document.get("error")
    says = any(error.values()) if isinstance(error, Mapping) else bool(error)
    return error if says else None


def stated_status(document: Any) -> int | None:
    """Return the HTTP status that an answer's error means, ``NO_STATUS`` where it names none.

    None where the answer tells no error: its text may be read.
    """
    error = error_in(document)
    if error is None:
        return None
    told = error if isinstance(error, Mapping) else {}
    said = [told.get(name) for name in ("code", "status", "type")]
    numbers = [int(s) for s in map(str, said) if s.isascii() and s.isdigit() and len(s) == 3]
    words = [_MEANT[s] for s in said if isinstance(s, str) and s in _MEANT]
    return next((n for n in (*numbers, *words) if 300 <= n <= 599), NO_STATUS)
