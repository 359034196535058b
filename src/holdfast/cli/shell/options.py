"""Turn a dataclass of options into the options of a command: names, types, defaults and help."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from functools import wraps
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from holdfast.cli.shell.field_docs import field_docs
from holdfast.cli.shell.flags import flag_of
from holdfast.inputs.configs import ALSO

__all__ = ["Interrupted", "JsonFlag", "default_of", "interruptible", "takes"]

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Config = TypeVar("Config")


class Interrupted(BaseException):
    """Ctrl-C with what it left behind; typer would swallow a ``KeyboardInterrupt``'s message."""


def interruptible(function: Callable[..., None]) -> Callable[..., None]:
    """Return the command with its ``KeyboardInterrupt`` as ``Interrupted``."""

    @wraps(function)
    def command(*args: Any, **given: Any) -> None:
        try:
            function(*args, **given)
        except KeyboardInterrupt as stop:
            raise Interrupted(str(stop)) from stop

    return command


def takes(
    config: type[Config], argument: str = ""
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a command of a function whose first argument is a ``config`` dataclass.

    Every field becomes an option: ``lora_r`` is ``--lora-r``, its docstring is the help, a field
    without default is required, a list is repeatable. The field ``argument`` has no flag. The
    function's own further arguments stay.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        names = {item.name for item in fields(config)}  # type: ignore[arg-type]

        @wraps(function)
        def command(**given: Any) -> None:
            options = {name: given.pop(name) for name in names}
            function(config(**options), **given)

        _, *extra = inspect.signature(function, eval_str=True).parameters.values()
        own = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in extra]
        # Typer reads the signature; ``wraps`` would lead it back to the function's own.
        command.__signature__ = inspect.Signature(_parameters(config, argument) + own)  # type: ignore[attr-defined]
        command.__annotations__ = {}
        return command

    return decorate


def _parameters(config: type, argument: str) -> list[inspect.Parameter]:
    hints, docs = get_type_hints(config), field_docs(config)
    # Required options first, then those of the command itself, then those it shares with others.
    shared = {name for base in config.__mro__[1:] for name in getattr(base, "__annotations__", ())}
    needed = inspect.Parameter.empty
    defaults = {item.name: default_of(item, needed) for item in fields(config)}
    more = {item.name: item.metadata.get(ALSO) for item in fields(config)}
    ordered = sorted(defaults, key=lambda name: (defaults[name] is not needed, name in shared))
    return [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=Annotated[hints[name], _asked(name, docs[name], argument, more.get(name))],
            default=defaults[name],
        )
        for name in ordered
    ]


def _asked(name: str, text: str, argument: str, also: str | None) -> Any:
    """Return the option of a field, or the argument that it is."""
    if name == argument:
        return typer.Argument(help=text)
    return typer.Option(*(flag_of(one) for one in (name, also) if one), help=text)


def default_of(item: Field[Any], missing: Any = None) -> Any:
    """Return the default of a dataclass's field, or ``missing`` where it has none."""
    if item.default_factory is not MISSING:
        return item.default_factory()
    return missing if item.default is MISSING else item.default
