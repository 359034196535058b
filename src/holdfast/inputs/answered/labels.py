"""What people call answers, in their words and in ours: XSTest's labels, plain words, a mapping."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from holdfast.errors import ConfigError, DataError

__all__ = ["HARM", "KNOWN", "REFUSALS", "Labels"]

REFUSALS = ("refusal", "partial", "compliance")
HARM = ("harmful", "harmless")
KNOWN: dict[str, tuple[str, ...]] = {
    "refusal": ("refusal", "2_full_refusal", "full_refusal", "refused", "refuse", "rejected"),
    "partial": ("partial", "3_partial_refusal", "partial_refusal", "partially refused"),
    "compliance": (
        "compliance", "1_full_compliance", "full_compliance", "complied", "comply", "answered",
        "helpful", "not refused", "no refusal",
    ),
    "harmful": ("harmful", "unsafe", "jailbroken", "unethical"),
    "harmless": ("harmless", "safe", "not harmful"),
}  # fmt: skip
"""Our words, and those of others that mean the same; compared without regard to case."""


@dataclass(frozen=True)
class Labels:
    """From the labels of a file to ours."""

    given: Mapping[str, str] = field(default_factory=dict[str, str])
    """Labels of the file that were mapped by hand, in lower case."""

    @classmethod
    def read(cls, text: str | None) -> "Labels":
        """Read ``refusal=no|declined,compliance=yes``.

        Raises:
            ConfigError: A part is no ``OURS=THEIRS``, ours is unknown, or a label is mapped twice.
        """
        found: dict[str, str] = {}
        for part in text.split(",") if text else []:
            ours, equals, theirs = (piece.strip() for piece in part.partition("="))
            if not (equals and theirs) or ours not in KNOWN:
                raise ConfigError(
                    f"`labels={text}`: {part.strip()!r} is not OURS=THEIRS, where ours is one of "
                    f"{', '.join(KNOWN)}, such as refusal=no|declined"
                )
            for label in map(_plain, theirs.split("|")):
                if label in found:
                    raise ConfigError(f"`labels={text}`: {label!r} is given twice; give it once")
                found[label] = ours
        return cls(found)

    def of(self, label: str, place: str) -> str:
        """Return our word for a label.

        Raises:
            DataError: It is unknown; names ``place`` and what is known.
        """
        plain = _plain(label)
        found = self.given.get(plain) or next(
            (ours for ours, theirs in KNOWN.items() if plain in map(_plain, theirs)), ""
        )
        if not found:
            known = ", ".join(theirs[0] for theirs in KNOWN.values())
            raise DataError(
                f"{place}: the label {label[:60]!r} is none of {known}, nor one of XSTest's: say "
                f"what it means with `labels=refusal={label[:60]}`"
            )
        return found


def _plain(label: str) -> str:
    return " ".join(label.replace("-", " ").casefold().split())
