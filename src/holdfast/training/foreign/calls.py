"""Calls of methods that somebody else overrode, with other parameters than the stock ones."""

import inspect
from collections.abc import Callable
from functools import lru_cache
from types import FunctionType, MethodType
from typing import Any, NamedTuple

from holdfast.errors import ConfigError

__all__ = ["called", "refuse_replaced"]

_PLACED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_NAMED = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def called(method: Callable[..., Any], *args: Any, placed: bool = False, **options: Any) -> Any:
    """Call a bound method with the arguments and those options that it takes.

    An option goes by its name where the method has that parameter, or takes any name and the
    option says something (is neither None nor False). What it cannot take is left out, as are
    arguments of None behind its last parameter.

    Args:
        method: The wrapped class's own, such as ``super().compute_loss``.
        args: What it is always given, in order.
        placed: The stock trainer gives the options by their places, so they fill parameters of
            other names as well.
        options: What the stock trainer would give, by its stock names and in their order.
    """
    kinds, places, by_names = _taken(method)
    named = by_names - set(places[: len(args)])
    by_name = {name: value for name, value in options.items() if name in named}
    rest = {name: value for name, value in options.items() if name not in named}
    said = {name: value for name, value in rest.items() if value is not None and value is not False}
    given = list(args)
    if inspect.Parameter.VAR_KEYWORD in kinds:
        by_name |= said
    elif inspect.Parameter.VAR_POSITIONAL in kinds:
        given += _up_to_the_last(list(rest.values())) if said else []
        return method(*given, **by_name)
    elif placed:
        free = [p for p in places[len(args) :] if p not in by_name]
        given += list(rest.values())[: len(free)]
    while len(given) > len(places) and given[-1] is None and not _takes_any_number(kinds):
        given.pop()
    return method(*given, **by_name)


class _Taken(NamedTuple):
    """The parameters of a method, without ``self``."""

    kinds: frozenset[Any]
    places: tuple[str, ...]
    named: frozenset[str]


def _taken(method: Callable[..., Any]) -> _Taken:
    """Return what a method takes; asked for in every micro-batch, it is looked up once."""
    inner: Any = method
    while not isinstance(inner, MethodType) and hasattr(inner, "__wrapped__"):
        inner = inner.__wrapped__
    function = getattr(inner, "__func__", None)
    if isinstance(inner, MethodType) and isinstance(function, FunctionType):
        return _taken_bound(function)
    return _taken_of(method)


@lru_cache(maxsize=256)
def _taken_bound(function: FunctionType) -> _Taken:
    return _taken_of(MethodType(function, object()))


def _taken_of(method: Callable[..., Any]) -> _Taken:
    every = inspect.signature(method).parameters.values()
    return _Taken(
        frozenset(p.kind for p in every),
        tuple(p.name for p in every if p.kind in _PLACED),
        frozenset(p.name for p in every if p.kind in _NAMED),
    )


def refuse_replaced(trainer: Any, mixin: type) -> None:
    """Raise where a method that the mixin overrides was replaced on the object itself.

    Python would call the replacement and never the mixin's, so no hook would run.
    """
    for name in sorted(vars(trainer).keys() & vars(mixin).keys()):
        if callable(vars(trainer)[name]):
            raise ConfigError(
                f"trainer.{name} was replaced on the object, which passes every defense by; "
                f"override {name} in a subclass of {type(trainer).__name__} instead"
            )


def _up_to_the_last(values: list[Any]) -> list[Any]:
    """Drop what says nothing from the end."""
    while values and (values[-1] is None or values[-1] is False):
        values.pop()
    return values


def _takes_any_number(kinds: frozenset[Any]) -> bool:
    return inspect.Parameter.VAR_POSITIONAL in kinds
