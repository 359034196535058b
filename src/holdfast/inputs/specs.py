"""Read ``NAME[:key=value,...]`` into a defense, with the types of the defense's own fields."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

from holdfast.defense import Defense
from holdfast.defenses import find
from holdfast.errors import ConfigError, nearest
from holdfast.inputs.values import converted, expected
from holdfast.training.compose import composed

__all__ = ["build_defenses", "files_in", "parse_spec", "unused_data"]


def parse_spec(spec: str) -> tuple[type[Defense], dict[str, Any]]:
    """Return the class and the fields that ``spec`` names.

    Raises:
        ConfigError: The name or a key is unknown (suggests the nearest), a key is given twice, or
            a value has another type than its field.
    """
    name, _, rest = spec.partition(":")
    cls = find(name.strip())
    hints = get_type_hints(cls)
    known = [
        f.name for f in fields(cls) if f.init and f.name not in cls.card.data  # type: ignore[arg-type]
    ]  # fmt: skip
    options: dict[str, Any] = {}
    for part in rest.split(",") if rest.strip() else []:
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise ConfigError(f"`defense={spec}`: {part!r} is not key=value")
        _check_key(cls, key, known)
        if key in options:
            raise ConfigError(f"`defense={spec}`: {key} is given twice; give it once")
        options[key] = _value(cls.card.name, key, value, hints[key])
    return cls, options


def _check_key(cls: type[Defense], key: str, known: Sequence[str]) -> None:
    name = cls.card.name
    if key in cls.card.data:
        raise ConfigError(f"{name}: {key} takes a data set; give it as `{key}=FILE`")
    if key not in known:
        raise ConfigError(
            f"{name}: unknown key {key!r}, known: {', '.join(known)}.{nearest(key, known)}"
        )


def _value(name: str, key: str, value: str, hint: Any) -> Any:
    try:
        return converted(value, hint)
    except ValueError as error:
        raise ConfigError(f"{name}: {key}={value!r} must be {expected(hint)}") from error


def build_defenses(
    specs: Sequence[str],
    data: Mapping[str, Any],
    unsaid: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[Defense, ...]:
    """Build the defenses in order and check every field and every pair.

    Args:
        specs: One ``NAME[:key=value,...]`` each; the first is outermost.
        data: Data sets by the name of the field that takes them (harmful, safe, ...); None is
            left out.
        unsaid: Values of fields, by defense, where its spec leaves them out.

    Raises:
        ConfigError: A name, key or value is wrong, data are missing, or two exclude each other.
    """
    built: list[Defense] = []
    for spec in specs:
        cls, options = parse_spec(spec)
        given = {
            key: rows for key, rows in data.items() if key in cls.card.data and rows is not None
        }
        options = {**(unsaid or {}).get(cls.card.name, {}), **options}
        built.append(cls(**given, **options))
    return composed(built)


def files_in(specs: Sequence[str]) -> dict[str, Path]:
    """Return the files and folders that values of the specs name, by ``defense:key``.

    They are what a run reads besides its data, so an output must not replace them.
    """
    found: dict[str, Path] = {}
    for spec in specs:
        cls, options = parse_spec(spec)
        for key, value in options.items():
            if isinstance(value, str) and Path(value).exists():
                found[f"{cls.card.name}:{key}"] = Path(value)
    return found


def unused_data(defenses: Sequence[Defense], data: Mapping[str, Any]) -> list[str]:
    """Return the names of given data sets that no defense takes."""
    taken = {key for defense in defenses for key in defense.card.data}
    return [key for key, rows in data.items() if rows is not None and key not in taken]
