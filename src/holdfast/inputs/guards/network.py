"""Offline wherever all names are local: what a file says must not lead to the network.

An adapter's config names a base, a model's config a kernel, a tokenizer's another repository; the
libraries below would ask the hub for each. They ask nobody while a run that names no hub id runs.
"""

import os
import re
import socket
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import fields
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies

from datasets import config as datasets_config
from huggingface_hub import constants

from holdfast.inputs.sources.kits import hub_ids

__all__ = ["hub_answers", "local_only", "names_hub", "offline_where_local", "texts_in"]

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(:[\w.-]+)?")
_VARIABLE = "HF_HUB_OFFLINE"
_OF_HUB = "of/hub"
"""Stands for what is at the hub though its name is no hub id."""
_PATIENCE = 5.0
"""Seconds that the hub has to take a connection."""
P = ParamSpec("P")
R = TypeVar("R")


def names_hub(name: Any) -> bool:
    """Tell whether a name reads as ``owner/name`` and is nothing on this disk."""
    is_id = isinstance(name, str) and _HUB_ID.fullmatch(name) is not None
    return is_id and not os.path.exists(name)  # noqa: PTH110  # ``Path`` raises on a long name.


def hub_answers() -> bool:
    """Tell whether the hub can be connected to; behind a proxy only the client can tell."""
    place = urlsplit(constants.ENDPOINT)
    if place.scheme in getproxies() or place.hostname is None:
        return True
    try:
        socket.create_connection((place.hostname, place.port or 443), _PATIENCE).close()
    except OSError:
        return False
    return True


@contextmanager
def local_only(names: Iterable[Any] = ()) -> Generator[None]:
    """Forbid the hub while the body runs, also to its child processes, unless one names it.

    A hub that does not answer is not asked either: its client would try for half a minute for each
    file, and what is in the cache is found without it.
    """
    if any(map(names_hub, names)) and not constants.HF_HUB_OFFLINE and hub_answers():
        yield
        return
    before = constants.HF_HUB_OFFLINE, datasets_config.HF_HUB_OFFLINE, os.environ.get(_VARIABLE)
    constants.HF_HUB_OFFLINE = datasets_config.HF_HUB_OFFLINE = True
    os.environ[_VARIABLE] = "1"
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, datasets_config.HF_HUB_OFFLINE, variable = before
        if variable is None:
            os.environ.pop(_VARIABLE, None)
        else:
            os.environ[_VARIABLE] = variable


def offline_where_local(run: Callable[P, R]) -> Callable[P, R]:
    """Let a command run offline where no text of its config, its first argument, names the hub.

    A kit names it where it has no local copy.
    """

    @wraps(run)
    def command(*args: P.args, **kwargs: P.kwargs) -> R:
        config: Any = args[0] if args else next(iter(kwargs.values()), None)
        with local_only([*texts_in(_values(config)), *hub_ids(config)]):
            return run(*args, **kwargs)

    return command


def _values(config: Any) -> Any:
    """Return the recipe of a bench, or the fields of a command's config."""
    if hasattr(config, "recipe"):
        return config.recipe
    given = {each.name: getattr(config, each.name) for each in fields(config)}
    told = [_OF_HUB] if getattr(config, "asks_hub", False) else []
    return [*given.values(), *_options_of(given.get("judge") or ()), *told]


def _options_of(judges: Iterable[str] | str) -> Generator[str]:
    """Yield the values in ``NAME:key=value,...``: the model of a judge may be a hub id."""
    for text in [judges] if isinstance(judges, str) else judges:
        yield from (part.partition("=")[2] for part in text.partition(":")[2].split(","))


def texts_in(value: Any) -> Generator[str]:
    """Yield every text in nested mappings and lists."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from texts_in(inner)
