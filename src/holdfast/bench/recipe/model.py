"""Read what a recipe says of a model of the user's, its files and its training, and check it."""

from collections.abc import Mapping
from typing import Any, get_type_hints

from holdfast.bench.recipe.files import merged
from holdfast.bench.recipe.values import number_of, told_in
from holdfast.bench.subject.files import ROLES, FileSubject, Training, rows_of
from holdfast.bench.subject.questions import REQUIRED, SPLITS, unasked
from holdfast.bench.subject.unchanged import weights_of
from holdfast.errors import ConfigError
from holdfast.inputs.values import checked
from holdfast.results.provenance import fingerprint

__all__ = ["file_subject"]


def file_subject(recipe: Mapping[str, Any], where: str) -> FileSubject:
    """Return the subject of a recipe that names a model, its files and the model checked.

    Raises:
        ConfigError: A key is unknown, a value is of another type or out of range, a file that is
            needed is not named, or the recipe and its sweeps ask for more than one split.
        InputError: The model or a file cannot be used.
    """
    split, training = _split(recipe, where), _training(recipe["training"], where)
    files = _files(recipe["files"], split, where)
    name = str(recipe["model"])
    with told_in(where):
        read = {role: fingerprint(role, rows_of(role, path), path) for role, path in files.items()}
        digests = {role: record.sha256 for role, record in read.items()}
        subject = FileSubject(name, files, training, {**digests, "weights": weights_of(name)})
        subject.check()
    return subject


def _split(recipe: Mapping[str, Any], where: str) -> str:
    """Return the one split of a recipe: settings are chosen where nothing of the test is read."""
    sweeps = recipe["sweeps"] if isinstance(recipe["sweeps"], list) else []
    differing = [one for one in sweeps if isinstance(one, dict) and "split" in one]
    named = [recipe["split"], *(one["split"] for one in differing)]
    for split in named:
        if split not in SPLITS:
            raise ConfigError(
                f"{where}: split={split!r}, expected one of {', '.join(SPLITS)} for a model of "
                "your own"
            )
    if len(set(named)) > 1:
        raise ConfigError(
            f"{where}: split is test and validation in one recipe: choose settings in a recipe of "
            "their own, which reads no file of the test"
        )
    return named[0]


def _files(given: Any, split: str, where: str) -> dict[str, str]:
    """Return the files that a recipe of this split reads."""
    if not isinstance(given, dict) or not all(isinstance(path, str) for path in given.values()):
        raise ConfigError(f"{where}: files must be a mapping, role: path")
    merged(dict.fromkeys(ROLES), given, f"{where}: files")  # Refuses a role that is unknown.
    start = SPLITS[split]
    missing = [role for role in ("task", *(start + kind for kind in REQUIRED)) if role not in given]
    if missing:
        raise ConfigError(
            f"{where}: files has no {', '.join(missing)}: a bench of a model other than 'organism' "
            f"needs rows of its task and, with split={split}, harmful, safe and task questions"
        )
    if {f"{start}useful", f"{start}answers"} <= given.keys():
        raise ConfigError(
            f"{where}: files has {start}useful and {start}answers, and usefulness is one figure: "
            "questions with right answers, or with a reference model's own; name one of them"
        )
    left_out = unasked(given, split)
    return {role: path for role, path in given.items() if role not in left_out}


def _training(given: Any, where: str) -> Training:
    if not isinstance(given, dict):
        raise ConfigError(f"{where}: training must be a mapping, key: value")
    # The recipe has rows as a knob of its own.
    defaults = {key: value for key, value in vars(Training()).items() if key != "rows"}
    told, hints = f"{where}: training", get_type_hints(Training)
    values = merged(defaults, given, told)
    return Training(**{key: _value(key, value, hints[key], told) for key, value in values.items()})


def _value(key: str, value: Any, hint: Any, where: str) -> Any:
    if hint in (int, float, int | None):
        return number_of(key, value, hint, where)
    return checked(f"{where}: {key}", value, hint)
