"""What the rows of a data set are held against: all of it the provider's, none of it a test's."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from torch import nn

from holdfast.defense import Examples, listed
from holdfast.errors import ConfigError
from holdfast.evaluation.drift import Openings
from holdfast.files.hashes import sha256_of

__all__ = ["Jailbreak", "Materials"]

Jailbreak = Callable[[nn.Module], AbstractContextManager[None]]
"""Puts the base's security vector on a model for a body, such as ``LowRank.hooked``."""


@dataclass(frozen=True)
class Materials:
    """Probes, anchors and references; a component whose part is missing is left out, and said.

    A user who knows them can train against them: keep them, and the vector, private.
    """

    probes: Examples = ()
    """Harmful requests; their lead is what push and mdf are of."""
    openings: Openings | None = None
    """How the base refuses and agrees, from ``find_openings``."""
    jailbreak: Jailbreak | None = None
    """For gap."""
    harmful: Examples = ()
    """For anchor: harmful requests with harmful answers."""
    safe: Examples = ()
    """For anchor: the same requests, refused."""
    references: Mapping[str, Examples] = field(default_factory=dict[str, Examples])
    """Sets that percentiles are against, an ordinary instruction set first."""
    gradients: bool = False
    """Also score norm: one backward pass for all rows."""
    max_length: int | None = None
    """The training's most tokens of a row; other lengths would score other rows."""

    def __post_init__(self) -> None:
        """Refuse halves of what goes together."""
        if bool(len(self.harmful)) != bool(len(self.safe)):
            raise ConfigError(
                "anchor needs `harmful` and `safe` rows, got one of them: give the defender's "
                "harmful pairs and refusals of the same requests, or neither"
            )
        if (self.openings is None) != (not len(self.probes)):
            raise ConfigError(
                "push and mdf need `probes` and `openings`, got one of them: give harmful requests "
                "and the openings that `find_openings` found for this base, or neither"
            )

    @property
    def missing(self) -> dict[str, str]:
        """Component → what it lacks, in words."""
        found: dict[str, str] = {}
        if self.openings is None:
            found |= dict.fromkeys(("push", "mdf"), "no harmful prompts to probe with")
        if self.jailbreak is None:
            found["gap"] = "no security vector of this base"
        if not len(self.harmful):
            found["anchor"] = "no harmful and safe rows to hold against"
        if not self.gradients:
            found["norm"] = "gradients were not asked for"
        return found

    def hashes(self) -> dict[str, str]:
        """Return the SHA-256 of every part that was given."""
        parts = {"probes": self.probes, "harmful": self.harmful, "safe": self.safe}
        parts |= {f"reference {name}": rows for name, rows in self.references.items()}
        found = {name: sha256_of(listed(rows)) for name, rows in parts.items() if len(rows)}
        return found if self.openings is None else found | {"openings": self.openings.sha256}
