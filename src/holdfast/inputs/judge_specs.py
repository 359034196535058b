"""``NAME[:key=value,...]`` names a judge: it is read once, with the types of its own options."""

import inspect
import re
import types
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from holdfast.errors import ConfigError, HoldfastError, nearest, reason_of
from holdfast.evaluation.judges.protocol import Judge, MakesJudge, is_own
from holdfast.files.guarded.paths import refuse_text
from holdfast.files.secret_names import is_secret
from holdfast.inputs.values import checked

__all__ = ["built", "prepared"]

KEY_VARIABLE = "HOLDFAST_JUDGE_KEY"
_MORE_THAN_A_PLACE = re.compile(r"://.*[@?#]")
"""An address with a name and a password, or with a query, which may hold a key."""


def built(text: str, find: Callable[[str], MakesJudge]) -> Judge:
    """Return the judge of ``NAME[:key=value,...]``; ``find`` returns the class of a name.

    Raises:
        ConfigError: The name or an option is unknown (suggests the nearest), an option is given
            twice, has another type or is a secret, or the judge refuses what it was given.
    """
    name, _, rest = text.partition(":")
    cls = find(name.strip())
    with _about(text, rest):
        given = dict[str, Any]()
        for key, value in _pairs(rest, _options(cls) if rest.strip() else {}):
            if key in given:
                raise ConfigError(f"{key} is given twice; give it once")
            given[key] = value
        return cls(**given)


def prepared(judges: Sequence[tuple[str, Judge]]) -> list[str]:
    """Let judges check what they were given, and return what a reader must know of them.

    A judge may have ``prepare()``: it raises ``InputError`` where a file, a model or a server that
    it needs is not there, and returns lines, such as where answers are sent.
    """
    notes: list[str] = []
    for text, judge in judges:
        with _about(text, text.partition(":")[2]):
            notes += _lines(judge)
    return notes


def _lines(judge: Any) -> list[str]:
    """Return what ``prepare()`` of a judge tells; a fault of somebody else's names the judge."""
    try:
        told: Any = getattr(judge, "prepare", list)() or []
    except (HoldfastError, OSError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        if is_own(judge):
            raise
        raise ConfigError(
            f"prepare fails ({type(error).__name__}: {reason_of(error)}); mend the judge: it "
            "raises an InputError where what it needs is not there"
        ) from error
    if not (isinstance(told, list | tuple) and all(isinstance(line, str) for line in told)):
        raise ConfigError(
            f"prepare returned {type(told).__name__}; return a list of texts, or None"
        )
    return list(told)


@contextmanager
def _about(text: str, rest: str) -> Generator[None]:
    """Put the judge as it was given before what an error says, unless it holds a secret."""
    keys = [part.partition("=")[0].strip() for part in rest.split(",")]
    holds = any(map(is_secret, keys)) or _MORE_THAN_A_PLACE.search(rest)
    shown = f"{text.partition(':')[0]}:…" if holds else text
    try:
        yield
    except HoldfastError as error:
        error.args = (f"`judge={shown}`: {error}",)
        raise


def _pairs(rest: str, options: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for part in rest.split(",") if rest.strip() else []:
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if is_secret(key):
            raise ConfigError(
                f"{key} is a secret, and options are written into results; set the environment "
                f"variable {KEY_VARIABLE} instead"
            )
        if not equals:
            raise ConfigError(f"{part!r} is not key=value")
        if key not in options:
            known = ", ".join(options) or "it has none"
            raise ConfigError(f"unknown option {key!r}, known: {known}.{nearest(key, options)}")
        refuse_text(value, key)
        yield key, checked(key, value, options[key])


def _options(cls: MakesJudge) -> dict[str, Any]:
    """Return the arguments of a judge's class that a text can give, with their types."""
    try:
        hints = get_type_hints(cls.__init__)
    except Exception as error:  # It is somebody else's class.
        raise ConfigError(
            f"the types of its arguments cannot be read ({type(error).__name__}: {error}); import "
            "what they name also at run time"
        ) from error
    named = inspect.signature(cls).parameters
    # Nobody has to write types: without one it is that of the default.
    given = {name: hints.get(name, _type_of(each.default)) for name, each in named.items()}
    return {name: hint for name, hint in given.items() if _is_plain(hint)}


def _type_of(default: Any) -> Any:
    if default is None:
        return str | None
    # Who writes tau=1 may mean any number.
    return int | float if type(default) is int else type(default)


def _is_plain(hint: Any) -> bool:
    if get_origin(hint) in (Union, types.UnionType):
        return all(map(_is_plain, get_args(hint)))
    return hint in (bool, int, float, str, type(None)) or get_origin(hint) is Literal
