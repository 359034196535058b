"""Which column of a file holds what: ``FILE::prompt=goal`` says it for one file."""

from pathlib import Path

from holdfast.errors import ConfigError

__all__ = ["columns_of", "file_of", "with_columns"]

_MARK = "::"


def columns_of(text: str | None, field: str = "columns") -> dict[str, str] | None:
    """Read ``prompt=question,completion=answer``, given as ``field``, as a mapping.

    Raises:
        ConfigError: A part is not NAME=COLUMN, or a name stands twice.
    """
    return None if text is None else _read(text, f"`{field}={text}`")


def _read(text: str, shown: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in text.split(","):
        name, equals, column = (piece.strip() for piece in part.partition("="))
        if not (equals and name and column):
            wrong = f"{part!r} is not NAME=COLUMN, such as prompt=question"
            raise ConfigError(f"{shown}: {wrong}")
        if name in found:
            raise ConfigError(f"{shown}: {name} is given twice; give it once")
        found[name] = column
    return found


def with_columns(given: str) -> tuple[str, dict[str, str] | None]:
    """Return the file or hub id of ``FILE::prompt=goal``, and its columns, None without any.

    A path that exists is a file whatever its name holds; names of columns may hold ``:`` and ``=``.

    Raises:
        ConfigError: What stands behind ``::`` is no mapping.
    """
    path, text = _split(given)
    return path, None if text is None else _read(text, f"{path}{_MARK}{text}")


def file_of(given: str) -> str:
    """Return the file or hub id of ``FILE::prompt=goal``, or of a path without columns."""
    return _split(given)[0]


def _split(given: str) -> tuple[str, str | None]:
    if _MARK not in given or _exists(given):
        return given, None
    places = [i for i in range(len(given)) if given.startswith(_MARK, i)]
    place = next((i for i in places if _exists(given[:i])), places[0])
    return given[:place], given[place + len(_MARK) :]


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False  # Whoever opens it says what is wrong.
