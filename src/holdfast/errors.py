"""The exception tree: everything holdfast raises on purpose descends from ``HoldfastError``.

::

    HoldfastError
    ├── InputError              what the user gave cannot be used (exit code 2)
    │   ├── DataError           a file, row or column of data
    │   ├── ModelError          a model folder, tokenizer or module layout
    │   └── ConfigError         an option, a defense's name or a hyperparameter
    │       └── ConflictError   two defenses that exclude each other
    └── RunError                a run that started and could not go on (exit code 1)
        ├── GateError           a check before tuning failed (security vector too weak)
        ├── NotRunError         a defense of the list never ran
        └── DivergedError       the loss became NaN or infinite

A message has one line and says what was given, what was expected and what to do about it. What a
user gives stands in it as the field that takes it, quoted: `` `max_steps=0` ``, or `` `resume` ``
without a value. From Python that is how it is written; the command line shows its flag instead.
"""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "ConfigError", "ConflictError", "DataError", "DivergedError", "GateError", "HoldfastError",
    "InputError", "ModelError", "NewerFileError", "NotRunError", "RunError", "nearest", "reason_of",
]  # fmt: skip


class HoldfastError(Exception):
    """Base of every error that holdfast raises on purpose."""


class InputError(HoldfastError, ValueError):
    """What the user gave cannot be used; nothing was started and nothing was written."""


class NewerFileError(InputError):
    """A file is of a newer holdfast: upgrading is the way, and writing it anew is none."""


class DataError(InputError):
    """A data file, row or column is missing or malformed."""


class ModelError(InputError):
    """A model, tokenizer or module layout cannot be used."""


class ConfigError(InputError):
    """An option, a defense's name or a hyperparameter is unknown or out of range."""


class ConflictError(ConfigError):
    """Two defenses exclude each other."""


class RunError(HoldfastError, RuntimeError):
    """A run that had started could not go on."""


class GateError(RunError):
    """A check that stands between two stages of a defense failed."""


class NotRunError(RunError):
    """A defense was in the list and one of its hooks never ran."""


class DivergedError(RunError):
    """The loss became NaN or infinite."""


def nearest(given: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the known word nearest to ``given``, else ``""``."""
    found = get_close_matches(given, list(known), n=1, cutoff=0.5)
    return f" Did you mean {found[0]!r}?" if found else ""


def reason_of(error: BaseException, longest: int = 500) -> str:
    """Return what an error of a library says, in one line, with what it came from.

    Of a long text the middle is left out: libraries begin with what failed and end with why, or
    with what to do. The error at the root is told where the text does not hold its words.
    """
    said, root = _cut(_line(error), longest), _root(error)
    if root is error or _line(root) in _line(error):
        return said
    return f"{said} (from {type(root).__name__}: {_cut(_line(root), longest)})"


def _root(error: BaseException) -> BaseException:
    seen = {id(error)}
    while below := error.__cause__ or (None if error.__suppress_context__ else error.__context__):
        if id(below) in seen:  # Errors may be made to lead round in a circle.
            break
        seen.add(id(below))
        error = below
    return error


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _cut(text: str, longest: int) -> str:
    begin = longest // 3
    return text if len(text) <= longest else f"{text[:begin]} … {text[-(longest - begin - 3) :]}"
