"""Proof that sets of examples share no prompt (defender's data, user's data, evaluation)."""

from collections.abc import Iterable, Mapping
from typing import Any

from holdfast.errors import DataError

__all__ = ["check_disjoint", "prompt_key"]


def prompt_key(example: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return what makes two prompts the same: roles, and contents without case and spacing."""
    told = ((message["role"], message["content"]) for message in example["prompt"])
    return tuple((role, " ".join(content.casefold().split())) for role, content in told)


def check_disjoint(sets: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
    """Raise unless no prompt stands in two of the sets by name; repeats inside one set are fine.

    Raises:
        DataError: Two sets share a prompt; names both sets, both rows (from 1) and how many more.
    """
    first: dict[tuple[tuple[str, str], ...], tuple[str, int]] = {}
    clashes: list[tuple[str, int, str, int]] = []
    for name, rows in sets.items():
        for number, example in enumerate(rows, start=1):
            other, row = first.setdefault(prompt_key(example), (name, number))
            if other != name:
                clashes.append((name, number, other, row))
    if clashes:
        name, number, other, row = clashes[0]
        more = f" ({len(clashes) - 1} more rows like it)" if len(clashes) > 1 else ""
        raise DataError(
            f"{name}, row {number}: has the same prompt as {other}, row {row}{more}: "
            f"remove it from one, or {name} measures what {other} has taught"
        )
