"""What a defense of another installed package must be, and what its code is."""

import hashlib
import inspect
from contextlib import suppress
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from holdfast.defense import Card, Defense
from holdfast.errors import ConfigError

__all__ = ["GROUP", "RESERVED", "code_of", "fault"]

GROUP = "holdfast.defenses"
RESERVED = frozenset({"before", "none"})
"""Names that mean something else in a recipe."""
CELL_WORDS = frozenset({"name", "code"})
"""Words beside the hyperparameters in what a bench's cell hangs on."""


def code_of(cls: type[Defense]) -> dict[str, str]:
    """Return the SHA-256 of the file an installed defense is written in; nothing for ours.

    It is that of the code as it was loaded: a file edited during a bench changes no cell of it.

    Raises:
        ConfigError: The file cannot be read.
    """
    if cls.__module__.partition(".")[0] == "holdfast":
        return {}
    try:
        return {"code": _digest(cls)}
    except (OSError, TypeError) as error:
        raise ConfigError(
            f"the code of {cls.card.name} ({cls.__module__}:{cls.__qualname__}) cannot be read "
            f"({error}), so results of it could not be told from those of other code; install it "
            "as files"
        ) from error


@cache
def _digest(cls: type[Defense]) -> str:
    return hashlib.sha256(Path(inspect.getfile(cls)).read_bytes()).hexdigest()


def fault(found: Any, name: str) -> str:
    """Return what keeps ``found`` from being the defense of this name and how to mend it, or ""."""
    if not (isinstance(found, type) and issubclass(found, Defense)):
        return "it is no subclass of holdfast.Defense; declare the class itself, MODULE:CLASS"
    card = getattr(found, "card", None)
    if not isinstance(card, Card):
        return "it has no card; add card: ClassVar[Card] = Card(...)"
    if card.name != name:
        return f"its card has name={card.name!r}; give entry point and card the same name"
    wrong = _fault_of_fields(found)
    if not wrong:
        with suppress(OSError, TypeError):
            _digest(found)  # Of the code as it was loaded, whatever is written there later.
    return wrong


def _fault_of_fields(cls: type[Defense]) -> str:
    if not is_dataclass(cls):
        return "it is no dataclass; write @dataclass above the class"
    get_type_hints(cls)  # Raises where a field's type does not exist at run time.
    given = [f for f in fields(cls) if f.init]
    bare = [f.name for f in given if f.default is MISSING and f.default_factory is MISSING]
    if bare:
        return f"{', '.join(bare)} must have a default; data sets default to None"
    hidden = [f.name for f in given if f.name in CELL_WORDS]
    return f"a field cannot be called {' or '.join(hidden)}; rename it" if hidden else ""
