"""The swap that puts finished folders in place, in one go whatever kills it.

::

    .NAME.partial   the run writes here; the file ``.holdfast`` in it says that it is ours
    .NAME.swap      written first: all that follows is decided, and any later run can do it
    NAME → .NAME.old           with overwrite
    .NAME.partial → NAME
    .NAME.old       removed, when every new folder is in place
    .NAME.swap      removed

Until the journal is there the old folders are as they were. From then on ``Swap.settle`` goes on
from wherever a kill broke off: each of its steps looks at what is there and can be done again.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.errors import ConfigError, InputError, RunError
from holdfast.files.sealing.documents import read_sealed, write_sealed

__all__ = [
    "Move", "Swap", "begin_partial", "beside", "check_beside", "discard_partial", "is_ours",
    "remove",
]  # fmt: skip

MARKER = ".holdfast"


@dataclass(frozen=True)
class Move:
    """One folder that comes into place."""

    target: Path
    overwrite: bool
    drop: tuple[str, ...] = ()
    """What of the partial folder is not part of the result."""

    @property
    def partial(self) -> Path:
        """Where it was written."""
        return beside(self.target, "partial")

    @property
    def old(self) -> Path:
        """Where what it replaces lies meanwhile."""
        return beside(self.target, "old")

    def place(self, overwrite: bool) -> None:
        """Put the partial folder in place, unless that is done.

        Raises:
            RunError: Something else has come to the place.
        """
        if is_ours(self.partial):
            for name in self.drop:
                remove(self.partial / name)
            if self.target.is_dir() and any(self.target.iterdir()):
                if not overwrite or self.old.exists():
                    raise RunError(
                        f"{self.target} has come while the run went on and is left alone; the "
                        f"finished folder is {self.partial}: move {self.target} away, then give "
                        "the same command again"
                    )
                self.target.rename(self.old)
            self.partial.rename(self.target)
        (self.target / MARKER).unlink(missing_ok=True)


class Swap:
    """The journal of one output, and what it says is to be done."""

    def __init__(self, target: Path) -> None:
        self.journal = beside(target, "swap")
        self._partial = beside(target, "partial")

    @property
    def pending(self) -> bool:
        """Whether a swap was begun and has not ended."""
        return self.journal.is_file()

    @property
    def about(self) -> Any:
        """What the pending swap is about, as ``begin`` was told."""
        return self._read()[1]

    def begin(self, moves: Sequence[Move], about: Any = None) -> None:
        """Decide that ``moves`` come into place; ``about`` is kept with it."""
        here = self.journal.parent
        listed = [[_told(m.target, here), m.overwrite, list(m.drop)] for m in moves]
        # What a kill leaves half-written lies in a folder of ours and goes with it.
        draft = self._partial / self.journal.name
        write_sealed(draft, {"moves": listed, "about": about})
        draft.rename(self.journal)

    def settle(self, *, overwrite: bool = False) -> None:
        """Do what is left to do.

        ``overwrite`` allows what the run that began the swap was not allowed.

        Raises:
            ConfigError: The journal is damaged or not ours.
            RunError: Something else has come to the place.
        """
        moves, _ = self._read()
        for move in moves:
            move.place(overwrite or move.overwrite)
        for move in moves:  # Last: until here every step can be done again or undone by hand.
            remove(move.old)
        self.journal.unlink(missing_ok=True)

    def _read(self) -> tuple[list[Move], Any]:
        try:
            said = read_sealed(self.journal)
            here = self.journal.parent
            moves = [Move(here / to, bool(over), _names(drop)) for to, over, drop in said["moves"]]
        except (InputError, KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                f"{self.journal}: is no whole journal of holdfast ({error}): move it away; what a "
                "run had finished lies beside it"
            ) from error
        return moves, said.get("about")


def beside(target: Path, what: str) -> Path:
    """Return the path of what belongs to ``target`` and lies beside it."""
    return target.parent / f".{target.name}.{what}"


def is_ours(partial: Path) -> bool:
    """Tell whether a partial folder is one that a run of holdfast began."""
    return not partial.is_symlink() and (partial / MARKER).is_file()


def check_beside(target: Path, field: str, owner: Path) -> None:
    """Raise ``ConfigError`` where somebody else's things lie beside ``target``; names them.

    ``owner`` is the output whose run writes ``target``. No swap of its own may be pending.
    """
    shown = f"`{field}={target}`"
    partial, old = beside(target, "partial"), beside(target, "old")
    for path, ours in ((partial, is_ours(partial) or _empty(partial)), (old, False)):
        if path.is_symlink() or (path.exists() and not ours):
            raise ConfigError(
                f"{shown}: {path} is in the way and was not made by this holdfast: move it away "
                "or choose another folder"
            )
    if is_ours(partial):
        other = _owner(partial)
        named = other != owner and bool(other.name)
        if named and (is_ours(beside(other, "partial")) or Swap(other).pending):
            raise ConfigError(
                f"{shown}: {partial} belongs to the stopped run that writes {other}: go on with "
                "that run first, or choose another folder"
            )


def begin_partial(partial: Path, owner: Path) -> None:
    """Make the partial folder, with nothing in it but the sign that it is ours.

    ``owner`` is the output whose run writes it.
    """
    discard_partial(partial)
    partial.mkdir(parents=True, exist_ok=True)
    told = _told(owner, partial.parent)
    (partial / MARKER).write_text(f"{told}\n", encoding="utf-8", errors="surrogateescape")


def discard_partial(partial: Path) -> None:
    """Remove a partial folder of ours; the sign goes last, for a kill may come in between."""
    if is_ours(partial):
        for path in partial.iterdir():
            if path.name != MARKER:
                remove(path)
        remove(partial)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; a link alone."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _owner(partial: Path) -> Path:
    """Return the output whose run began a partial folder of ours."""
    text = (partial / MARKER).read_text(encoding="utf-8", errors="surrogateescape")
    return partial.parent / text.replace("\0", "").strip()


def _told(path: Path, here: Path) -> str:
    """Return a path as a file in ``here`` tells it, so that both can be moved or copied."""
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _empty(folder: Path) -> bool:
    """Tell whether nothing can be lost there: a kill came between the folder and its sign."""
    return folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir())


def _names(drop: Any) -> tuple[str, ...]:
    names = tuple(str(name) for name in drop)
    if any(Path(name).name != name for name in names):
        raise ValueError("a path where a name should be")
    return names
