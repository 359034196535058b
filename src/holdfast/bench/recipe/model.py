"""Read what a recipe says of a model of the user's, its files and its training, and check it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

from holdfast.bench.recipe.files import merged
from holdfast.bench.recipe.values import number_of, told_in
from holdfast.bench.subject.files import ROLES, FileSubject, Training, rows_of
from holdfast.errors import ConfigError
from holdfast.files.once import digest_of
from holdfast.inputs.values import checked
from holdfast.results.provenance import fingerprint

__all__ = ["file_subject"]

REQUIRED = ("task", "test_harmful", "test_safe", "test_task")
"""HS stands beside over-refusal and task accuracy, or says nothing."""


def file_subject(recipe: Mapping[str, Any], where: str) -> FileSubject:
    """Return the subject of a recipe that names a model, its files and the model checked.

    Raises:
        ConfigError: A key is unknown, a value is of another type or out of range, a file that is
            needed is not named, or the recipe asks for another split.
        InputError: The model or a file cannot be used.
    """
    files, training = _files(recipe["files"], where), _training(recipe["training"], where)
    if recipe["split"] != "test":
        raise ConfigError(
            f"{where}: split={recipe['split']!r} is of the organism: to choose settings, name "
            "validation questions as test_harmful and its siblings in another recipe"
        )
    name = str(recipe["model"])
    with told_in(where):
        read = {role: fingerprint(role, rows_of(role, path), path) for role, path in files.items()}
        digests = {role: record.sha256 for role, record in read.items()}
        subject = FileSubject(name, files, training, {**digests, "weights": _weights(name)})
        subject.check()
    return subject


def _files(given: Any, where: str) -> dict[str, str]:
    if not isinstance(given, dict) or not all(isinstance(path, str) for path in given.values()):
        raise ConfigError(f"{where}: files must be a mapping, role: path")
    merged(dict.fromkeys(ROLES), given, f"{where}: files")  # Refuses a role that is unknown.
    missing = [role for role in REQUIRED if role not in given]
    if missing:
        raise ConfigError(
            f"{where}: files has no {', '.join(missing)}: a bench of a model other than 'organism' "
            "needs rows of its task, and harmful, safe and task questions"
        )
    return dict(given)


def _training(given: Any, where: str) -> Training:
    if not isinstance(given, dict):
        raise ConfigError(f"{where}: training must be a mapping, key: value")
    # The recipe has rows as a knob of its own.
    defaults = {key: value for key, value in vars(Training()).items() if key != "rows"}
    told, hints = f"{where}: training", get_type_hints(Training)
    values = merged(defaults, given, told)
    return Training(**{key: _value(key, value, hints[key], told) for key, value in values.items()})


def _value(key: str, value: Any, hint: Any, where: str) -> Any:
    if hint in (int, float):
        return number_of(key, value, hint, where)
    return checked(f"{where}: {key}", value, hint)


_READ = (".json", ".safetensors", ".jinja", ".model")
"""What of a model's folder decides how it answers."""


def _weights(model: str) -> str:
    """Return the SHA-256 of a folder's files; a hub id has none here, and is told by its name."""
    folder = Path(model)
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return digest_of((path for path in files if path.suffix in _READ), folder)
