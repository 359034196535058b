"""Which files a source means: one, all of a folder, those of a pattern, or several with commas."""

from dataclasses import dataclass
from pathlib import Path

from holdfast.data.formats import Format, format_of, suffixes
from holdfast.data.formats.compressed import suffix_of
from holdfast.data.sources.saved import is_saved, split_folder
from holdfast.data.sources.splits import files_of_split, refuse_split
from holdfast.errors import DataError
from holdfast.files.guarded.paths import refuse_text

__all__ = ["Found", "files_of", "paths_in"]

_PATTERN = frozenset("*?[")


@dataclass(frozen=True)
class Found:
    """The files, or folders of ``save_to_disk``, that a source means, in order."""

    paths: tuple[Path, ...]
    notes: tuple[str, ...] = ()
    """What of a folder is not read."""


def files_of(source: str, split: str) -> Found:
    """Return the files of a source; a path that exists is that path, whatever its name holds.

    Raises:
        DataError: It names none, or a folder holds several formats or no file of the split.
    """
    if not source.strip():
        raise DataError(
            "the name of a file of rows is empty: give a file, a folder (. is this one) or a hub id"
        )
    path = Path(source)
    if _is_there(source):
        return _in_folder(path, split) if path.is_dir() else _alone((path,), split)
    if "," in source:
        parts = [part.strip() for part in source.split(",")]
        each = [files_of(part, split) for part in parts if part]
        return Found(
            tuple(p for found in each for p in found.paths),
            tuple(note for found in each for note in found.notes),
        )
    if _PATTERN.intersection(source):
        return _of_pattern(source, split)
    said = "file not found: check the path (a hub data set is given as owner/name)"
    raise DataError(f"{path}: {said}")


def paths_in(source: str) -> list[Path]:
    """Return what a source names, for those who must not write there; nothing need exist.

    A folder is that folder, and a pattern the paths that fit it now.
    """
    if _is_there(source):
        return [Path(source)]
    if "," in source:
        return [path for part in source.split(",") if part for path in paths_in(part.strip())]
    return _fitting(source) if _PATTERN.intersection(source) else [Path(source)]


def _is_there(source: str) -> bool:
    """Tell whether a source is a path that exists; several paths may be longer than one can be."""
    refuse_text(source, source, whole="," not in source)
    try:
        return Path(source).exists()
    except OSError:
        return False


def _of_pattern(source: str, split: str) -> Found:
    found = _fitting(source)
    each = [_in_folder(path, split) for path in found if path.is_dir() and is_saved(path)]
    files = tuple(path for path in found if path.is_file())
    if not each and not files:
        raise DataError(f"{source}: no file fits the pattern: check the path")
    others = [path for path in found if path.is_dir() and not is_saved(path)]
    own = _alone(files, split).paths
    return Found((*own, *(path for one in each for path in one.paths)), _unread(others))


def _alone(files: tuple[Path, ...], split: str) -> Found:
    for path in files:
        refuse_split(path, split)
    return Found(files)


def _fitting(source: str) -> list[Path]:
    whole = Path(source)
    # The part before the first name with a pattern in it is where the search begins.
    first = next(n for n, name in enumerate(whole.parts) if _PATTERN.intersection(name))
    try:
        return sorted(Path(*whole.parts[:first]).glob(str(Path(*whole.parts[first:]))))
    except (ValueError, NotImplementedError) as error:
        raise DataError(f"{source}: is no pattern of paths ({error})") from error


def _in_folder(path: Path, split: str) -> Found:
    if is_saved(path):
        own = split_folder(path, split)
        splits = sorted(path.iterdir()) if own != path else []
        return Found((own,), _unread([one for one in splits if one.is_dir() and one != own]))
    inner = sorted(each for each in path.iterdir() if each.name[0] not in "._")
    names, others = [p for p in inner if p.is_file()], [p for p in inner if not p.is_file()]
    kinds = {file: format_of(suffix_of(file)) for file in names}
    data = [file for file, kind in kinds.items() if kind is not None]
    if not data and (path / "data").is_dir():  # As the hub's repositories have it.
        own = _in_folder(path / "data", split)
        beside = _unread([each for each in others if each != path / "data"])
        return Found(own.paths, (*own.notes, *beside))
    if not data:
        raise DataError(f"{path}: the folder holds no data file: expected {', '.join(suffixes())}")
    _require_one_format(path, {file: kind for file, kind in kinds.items() if kind is not None})
    wanted = files_of_split(data, split, path)
    return Found(tuple(wanted), _unread([f for f in (*names, *others) if f not in wanted]))


def _unread(paths: list[Path]) -> tuple[str, ...]:
    return (f"not read: {_named(paths)}",) if paths else ()


def _require_one_format(path: Path, kinds: dict[Path, Format]) -> None:
    (first, kind), *_ = kinds.items()
    other = next((file for file, each in kinds.items() if each is not kind), None)
    if other is not None:
        said = f"holds files of two formats ({first.name}, {other.name}): give those that are meant"
        raise DataError(f"{path}: {said}, such as '{path}/*{''.join(first.suffixes[-2:])}'")


def _named(files: list[Path]) -> str:
    more = f" and {len(files) - 5} more" if len(files) > 5 else ""
    return ", ".join(f"{file.name}{'/' * file.is_dir()}" for file in files[:5]) + more
