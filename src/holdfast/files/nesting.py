"""No output inside a model's folder, and nothing kept apart inside or above one.

A model's folder may be uploaded whole, and what lies in it goes with it.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from holdfast.errors import ConfigError

__all__ = ["refuse_in_model", "refuse_inside", "refuse_nested"]

_CONFIGS = ("config.json", "adapter_config.json")
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "*.bin")


def refuse_nested(one: Path, other: Path, said: str, why: str) -> None:
    """Raise ``ConfigError`` where one folder is, or lies in, the other; links are followed.

    ``said`` is how the first one was given.
    """
    a, b = (Path(os.path.realpath(path)) for path in (one, other))
    if a == b or a in b.parents or b in a.parents:
        place = "is the same folder as" if a == b else "holds" if a in b.parents else "lies in"
        raise ConfigError(f"{said}: {place} {other}, {why}; choose a folder outside")


def refuse_inside(target: Path, inputs: Iterable[Path], said: str) -> None:
    """Raise ``ConfigError`` where ``target`` lies in a folder that is read, or in any model's."""
    real = Path(os.path.realpath(target))
    for path in inputs:
        given = Path(os.path.realpath(path))
        if given in real.parents and given.is_dir():
            raise ConfigError(
                f"{said}: lies in {path}, which is read and may be uploaded; choose a folder "
                "outside"
            )
    refuse_in_model(target, said)


def refuse_in_model(target: Path, said: str) -> None:
    """Raise ``ConfigError`` where a folder above ``target`` holds a model or an adapter."""
    real = Path(os.path.realpath(target))
    for folder in real.parents:
        if _is_model(folder):
            raise ConfigError(
                f"{said}: {target} would lie in the model folder {folder}, which may be uploaded; "
                "choose a folder outside"
            )


def _is_model(folder: Path) -> bool:
    named = any((folder / name).is_file() for name in _CONFIGS)
    return named and any(next(folder.glob(kind), None) is not None for kind in _WEIGHTS)
