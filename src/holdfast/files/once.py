"""What cells share is made once: a file or folder named by the hash of what made it.

Parallel workers wait for the one that makes it; a maker that is killed gives way to the next. The
digest of the content stands beside it, so that a damaged one is found and made again.
"""

import fcntl
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from holdfast.files.whole import write_whole

__all__ = ["digest_of", "files_below", "once", "shared_path"]


def shared_path(out: Path, kind: str, made_of: Any, suffix: str = "") -> Path:
    """Return where the product of ``made_of`` (a JSON value) stands in the bench's folder."""
    text = json.dumps(made_of, sort_keys=True, default=str)
    return out / "shared" / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}{suffix}"


def once(path: Path, make: Callable[[Path], Any]) -> Path:
    """Make ``path``, a file or a folder, unless it is there and whole, and return it.

    ``make`` writes it to the path it is given, which lies beside and is renamed when whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    proof = path.with_name(f"{path.name}.sha256")
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists() and proof.exists() and proof.read_text() == _digest(path):
            return path
        temporary = path.with_name(f".{path.name}.partial")
        for left in (temporary, path):
            _remove(left)
        make(temporary)
        write_whole(proof, _digest(temporary))
        temporary.replace(path)
    return path


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file, or of a folder's names and files."""
    return digest_of(files_below(path), path)


def files_below(path: Path) -> list[Path]:
    """Return a file alone, or all files of a folder in order."""
    return [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())


def digest_of(files: Iterable[Path], folder: Path) -> str:
    """Return the SHA-256 of the files' names in ``folder`` and of what they hold, in this order."""
    found = hashlib.sha256()
    for file in files:
        found.update(str(file.relative_to(folder)).encode() + b"\0")
        with file.open("rb") as content:
            found.update(hashlib.file_digest(content, "sha256").digest())
    return found.hexdigest()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
