"""What may stand where: an output is a folder or nothing yet, and a file is a file or nothing yet.

A device, a pipe, a socket, a link into nowhere, a mount point: what a run would replace, hang on or
fail to rename at its very end is refused before anything is computed.
"""

import errno
import os
import stat
from pathlib import Path

from holdfast.errors import ConfigError
from holdfast.files.guarded.paths import refuse_home

__all__ = ["check_file", "check_folder", "real"]

_BESIDE = 24
"""Bytes that the names of what lies beside an output (locks, partial folders) add to its own."""
_INSIDE = 160
"""Bytes that paths inside an output add to its own."""
_KINDS = {
    stat.S_IFREG: "a file", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a folder",
}  # fmt: skip
_WHY = {
    errno.ELOOP: "is or lies behind a link that leads back to itself",
    errno.ENAMETOOLONG: "is longer than the file system takes",
    errno.EACCES: "lies in a folder that cannot be entered",
}


def real(path: Path | str) -> Path:
    """Return the absolute path; of a link to a folder, that folder, which is what is replaced.

    Raises:
        ConfigError: It begins with a home that no shell has put there.
    """
    refuse_home(path, f"`{path}`")
    try:
        found = os.path.abspath(path)  # noqa: PTH100  # ``resolve`` follows every link.
        linked = os.path.islink(found) and os.path.isdir(found)  # noqa: PTH112, PTH114
        return Path(os.path.realpath(found) if linked else found)
    except ValueError:  # No path at all; ``check_folder`` tells why.
        return Path(path)


def check_folder(path: Path, field: str, *, replaced: bool = True) -> None:
    """Raise ``ConfigError`` unless ``path`` is a folder, or one can be made there.

    Args:
        path: What was given.
        field: What it was given as.
        replaced: Whether another folder comes to its place, as an output's does.
    """
    shown = f"`{field}={path}`"
    refuse_home(path, shown)
    if replaced and not path.name:
        raise ConfigError(f"{shown}: is the root of the file system: give a folder in it")
    kind = _kind(path, shown)
    if kind not in (None, stat.S_IFDIR):
        raise ConfigError(f"{shown}: is {_KINDS[kind]}: give a folder")
    if replaced and kind is not None and os.path.ismount(path):
        raise ConfigError(
            f"{shown}: is a mount point, which cannot be replaced: give a folder in it"
        )
    # What is written beside a folder, and its replacement, need the one above it.
    _check_room(path, path.absolute().parent if replaced else path.absolute(), shown)


def check_file(path: Path) -> None:
    """Raise ``ConfigError`` where a file would replace a device, a pipe, a socket or a broken link.

    A folder is left to who writes: no file replaces it.
    """
    refuse_home(path, f"`{path}`")
    kind = _kind(path, str(path))
    if kind not in (None, stat.S_IFREG, stat.S_IFDIR):
        raise ConfigError(f"{path}: is {_KINDS[kind]}: give a file")


def _check_room(path: Path, above: Path, shown: str) -> None:
    """Refuse a path below what is no folder, and names that are too long for what lies beside.

    ``above`` is the folder to be written, or the nearest above it that is there.
    """
    while (kind := _kind(above, shown)) is None:
        above = above.parent
    if kind != stat.S_IFDIR:
        raise ConfigError(f"{shown}: {above} is {_KINDS[kind]}: choose another folder")
    most, whole = os.pathconf(above, "PC_NAME_MAX"), os.pathconf(above, "PC_PATH_MAX")
    names = [len(os.fsencode(part)) for part in path.parts] or [0]  # "." has none.
    if names[-1] + _BESIDE > most or max(names) > most or sum(names) + _INSIDE > whole:
        raise ConfigError(f"{shown}: is too long: at most {most - _BESIDE} bytes in a name")
    if not os.access(above, os.W_OK | os.X_OK):
        raise ConfigError(f"{shown}: {above} cannot be written: choose another folder")


def _kind(path: Path, shown: str) -> int | None:
    """Return the type of what stands at ``path``, links followed; None where nothing does.

    Raises:
        ConfigError: It is a link into nowhere, or cannot be a path.
    """
    try:
        return stat.S_IFMT(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():
            where = "" if str(path) in shown else f"{path} "
            lost = "is a link to what is not there: remove the link or choose another folder"
            raise ConfigError(f"{shown}: {where}{lost}") from None
        return None
    except ValueError as error:
        raise ConfigError(f"{shown!a}: is no path ({error}): choose another") from None
    except OSError as error:
        why = _WHY.get(error.errno or 0, f"cannot be looked at ({error.strerror})")
        raise ConfigError(f"{shown}: {why}: choose another folder") from None
