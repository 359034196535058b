"""Files that appear whole or not at all, and versions that cannot be read."""

import os
from pathlib import Path

from holdfast.errors import InputError, NewerFileError, RunError
from holdfast.files.outputs.places import check_file
from holdfast.files.private import new_file

__all__ = ["refuse_newer", "write_whole"]


def write_whole(target: Path, text: str) -> None:
    """Write ``text`` beside ``target`` and put it in place in one step.

    Raises:
        ConfigError: What stands at ``target`` is no file: replacing it would lose a device or pipe.
        RunError: The folder cannot be written or the disk is full; an earlier file stays whole.
    """
    temporary: Path | None = None
    check_file(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = new_file(target)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
        temporary = None
    except OSError as error:
        said = f"{target} cannot be written: {error.strerror or error}"
        raise RunError(f"{said}; free space or choose another folder") from error
    finally:
        if temporary is not None:  # An error or Ctrl-C came in between.
            temporary.unlink(missing_ok=True)


def refuse_newer(source: Path, given: object, known: int) -> None:
    """Raise where a file's schema version is above the known one, or is none.

    Raises:
        NewerFileError: It is above; who reads files lets this pass, as its way out is the only one.
        InputError: It is no version.

    What is given is what the file says, unread: a model of records would take true or "1" for 1.
    """
    if not isinstance(given, int) or isinstance(given, bool) or given < 0:
        raise InputError(f"{source} has schema version {given!r:.40}, which is none; write it anew")
    if given > known:
        said = f"{source} has schema version {given} and this holdfast reads up to {known}"
        raise NewerFileError(f"{said}; upgrade holdfast")
