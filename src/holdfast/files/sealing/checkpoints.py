"""Checkpoints that are known to be whole: sealed when written, checked before they are read.

A checkpoint whose files differ from its manifest (a flipped bit, a missing optimizer, an edited
step) is passed over for the one before it.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from holdfast.errors import ConfigError, RunError
from holdfast.files.guarded.documents import json_in
from holdfast.files.sealing.manifest import damage, is_sealed, seal

__all__ = [
    "check_best", "clear", "drop_apart", "newest_whole", "seal_checkpoint", "sealed_steps",
    "told_apart", "whole_one",
]  # fmt: skip


_PREFIX = "checkpoint"
"""What transformers calls a checkpoint's folder, before its step."""


def seal_checkpoint(folder: Path, private: Path) -> None:
    """Write a checkpoint's manifest; ``private`` holds what defenses keep apart from it."""
    names = _private_names(folder)
    seal(folder, (path for path in private.glob("*") if path.stem in names))


def told_apart(*roots: Path) -> set[str] | None:
    """Return the names of what the checkpoints in ``roots`` keep apart; None where one is torn."""
    try:
        folders = [folder for root in roots for folder in _checkpoints(root)]
        return set[str]().union(*map(_private_names, folders))
    except (OSError, ValueError, AttributeError):
        return None


def drop_apart(private: Path, before: set[str] | None, *roots: Path) -> None:
    """Remove what was kept apart for checkpoints that are gone from ``roots`` since ``before``.

    Where a checkpoint does not tell what belongs to it, nothing is removed.
    """
    after = told_apart(*roots)
    gone = before - after if before is not None and after is not None else set[str]()
    for path in private.glob("*") if gone else ():
        if path.stem in gone:
            path.unlink(missing_ok=True)


def clear(folder: Path) -> None:
    """Remove a damaged or older checkpoint of the same step: none of its files may stay."""
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)


def sealed_steps(root: Path) -> list[int]:
    """Return the steps of the checkpoints in ``root`` that were written to their end."""
    return sorted(_step(folder) for folder in _checkpoints(root) if is_sealed(folder))


def newest_whole(
    root: Path, private: Path, say: Callable[[str], None] = lambda _: None
) -> Path | None:
    """Return the last checkpoint in ``root`` that is whole; None where there is no checkpoint.

    Args:
        root: The output folder of a trainer.
        private: Where defenses keep what is not in checkpoints.
        say: Is told why later ones are passed over.

    Raises:
        ConfigError: There are checkpoints, and none is whole.
    """
    wrong: list[str] = []
    for folder in sorted(_checkpoints(root), key=_step, reverse=True):
        why = damage(folder, private)
        if not why:
            for line in wrong:
                say(f"warning: {line}; it is passed over, going on from {folder.name}")
            return folder
        wrong.append(f"{folder.name}: {why}")
    if wrong:
        raise ConfigError(
            f"nothing to resume: no whole checkpoint in {root} ({'; '.join(wrong)}): "
            "start anew (`overwrite=True`, or another folder)"
        )
    return None


def whole_one(folder: Path, private: Path) -> Path:
    """Return the checkpoint that was named.

    Raises:
        ConfigError: It is not whole; names what is wrong and the last one that is whole.
    """
    why = damage(folder, private)
    if why:
        others = [f for f in _checkpoints(folder.parent) if not damage(f, private)]
        last = max(others, key=_step, default=None)
        instead = f"give {last}" if last else "no whole one lies beside it: start anew"
        raise ConfigError(f"cannot resume from {folder}: {why}: {instead}")
    return folder


def check_best(folder: str | None, private: Path) -> None:
    """Raise ``RunError`` where the best checkpoint, which is to be loaded, is not whole."""
    why = damage(Path(folder), private) if folder is not None else ""
    if why:
        raise RunError(f"the best checkpoint {folder} cannot be loaded: {why}; resume the run")


def _checkpoints(root: Path) -> list[Path]:
    return [f for f in root.glob(f"{_PREFIX}-*") if f.is_dir() and _step(f) >= 0]


def _step(folder: Path) -> int:
    tail = folder.name.rsplit("-", 1)[-1]
    return int(tail) if tail.isascii() and tail.isdigit() else -1


def _private_names(folder: Path) -> set[str]:
    """Return the names of the states that defenses keep apart, as the checkpoint tells them."""
    names: set[str] = set()
    for file in folder.glob("defenses/*.json"):
        state: Any = json_in(file)
        names.add(str(state.get("private", "")))
    return names
