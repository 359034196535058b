"""Files and folders of the user alone: what a jailbreak is kept in.

All else is as readable as the user's umask says.
"""

import os
import secrets
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

__all__ = ["close_folder", "keeping_private", "new_file", "open_to_umask"]


def close_folder(folder: Path) -> None:
    """Make the folder, if it is not there, and let nobody but the user in."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)


@contextmanager
def keeping_private(folder: Path | None, files: Iterable[Path]) -> Generator[None]:
    """Let the body write ``files`` so that nobody but the user can read them.

    ``folder``, in which they lie, is closed first: not even for a moment are they open. Without
    one the body writes as it likes.
    """
    if folder is None:
        yield
        return
    close_folder(folder)
    try:
        yield
    finally:
        for file in files:
            if file.exists():
                file.chmod(0o600)


def new_file(beside: Path) -> tuple[int, Path]:
    """Return a new file open for writing, next to ``beside``, as readable as umask lets it be.

    ``tempfile`` makes files of the user alone, and no function tells the umask without setting it.
    """
    path = beside.with_name(f".{beside.name}.{secrets.token_hex(8)}")
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), path


def open_to_umask(folder: Path, files: Iterable[Path]) -> None:
    """Make ``files`` in ``folder`` as readable as umask lets new files be: safetensors' are not."""
    descriptor, probe = new_file(folder / "umask")
    try:
        mode = os.fstat(descriptor).st_mode & 0o777
    finally:
        os.close(descriptor)
        probe.unlink()
    for file in files:
        file.chmod(mode)
