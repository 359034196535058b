"""Openings of answers, as token ids: how a model refuses, and how it agrees."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from holdfast.errors import DataError

__all__ = ["Ids", "Openings"]

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Openings:
    """Refusals r and agreements a, at least one of each, none of them empty or in both."""

    refusals: tuple[Ids, ...]
    agreements: tuple[Ids, ...]

    def __post_init__(self) -> None:
        """Refuse a set that no lead can be measured with."""
        for name, own in (("refusals", self.refusals), ("agreements", self.agreements)):
            if not own or not all(own):
                raise DataError(f"openings: `{name}` needs at least one opening of one token")
        if shared := set(self.refusals) & set(self.agreements):
            raise DataError(
                f"openings: {sorted(shared)[0]} is a refusal and an agreement: drop one"
            )

    @property
    def every(self) -> tuple[Ids, ...]:
        """Refusals, then agreements."""
        return self.refusals + self.agreements

    @property
    def sha256(self) -> str:
        """The hash of the ids: two probes of one hash have asked the same."""
        return hashlib.sha256(json.dumps(self.as_json()).encode()).hexdigest()

    def as_json(self) -> dict[str, list[list[int]]]:
        """Return the token ids as JSON."""
        return {
            "refusals": [list(ids) for ids in self.refusals],
            "agreements": [list(ids) for ids in self.agreements],
        }

    @classmethod
    def of_json(cls, said: Mapping[str, Any]) -> "Openings":
        """Read what ``as_json`` returned.

        Raises:
            DataError: It is none.
        """
        try:
            return cls.of(said["refusals"], said["agreements"])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                "openings: expected `refusals` and `agreements`, each a list of lists of token ids"
            ) from error

    @classmethod
    def of(
        cls, refusals: Sequence[Sequence[int]], agreements: Sequence[Sequence[int]]
    ) -> "Openings":
        """Return openings of any sequences of token ids."""

        def tuples(rows: Sequence[Sequence[int]]) -> tuple[Ids, ...]:
            return tuple(tuple(int(token) for token in row) for row in rows)

        return cls(tuples(refusals), tuples(agreements))
