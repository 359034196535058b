"""Read a bench recipe: a YAML mapping of what differs from the packaged ``base.yaml``."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from holdfast.data.columns import file_of
from holdfast.data.sources.files import paths_in
from holdfast.errors import ConfigError, nearest
from holdfast.inputs.rows import ORGANISM
from holdfast.inputs.yaml_files import mapping_in, text_of

__all__ = ["base_recipe", "load_recipe", "merged", "packaged"]

EXTENDS = "extends"
"""Names the recipe that another is said to differ from, in place of base.yaml alone."""


def packaged() -> list[str]:
    """Return the names of the recipes that come with holdfast."""
    found = [Path(item.name) for item in files("holdfast.bench.recipes").iterdir()]
    return sorted(path.stem for path in found if path.suffix == ".yaml" and path.stem != "base")


def base_recipe() -> dict[str, Any]:
    """Return every setting with its default."""
    return yaml.safe_load(files("holdfast.bench.recipes").joinpath("base.yaml").read_text("utf-8"))


def load_recipe(recipe: str) -> dict[str, Any]:
    """Return all settings of a recipe: base.yaml, what it ``extends``, then what it says.

    Args:
        recipe: A YAML file, or the name of a packaged recipe (``quick``, ``recipes/quick.yaml``).
            Paths of its model and files are relative to its folder.

    Raises:
        ConfigError: There is no such recipe, it is no YAML mapping, a key is unknown, or it extends
            one that extends another.
    """
    own = _read(recipe)
    if EXTENDS not in own:
        return merged(base_recipe(), own, recipe)
    name = own.pop(EXTENDS)
    if not isinstance(name, str) or EXTENDS in (parent := _read(_beside(name, recipe))):
        raise ConfigError(
            f"recipe {recipe}: extends is {name!r}, expected a recipe that extends no other"
        )
    both = {**parent, **own}
    if isinstance(both.get("files"), dict) and isinstance(parent.get("files"), dict):
        both["files"] = {**parent["files"], **both["files"]}
    return merged(base_recipe(), both, recipe)


def _read(recipe: str) -> dict[str, Any]:
    given = mapping_in(_text(recipe), f"recipe {recipe}")
    if not given:
        raise ConfigError(f"recipe {recipe}: is empty, expected a mapping of settings, key: value")
    return _from_folder(given, Path(recipe).parent)


def _beside(name: str, recipe: str) -> str:
    """Return the file of this name in the recipe's folder, or the packaged recipe."""
    own = Path(recipe).parent / name
    return str(own) if own.is_file() else name


def merged(settings: Mapping[str, Any], given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return ``settings`` with ``given`` in place of theirs.

    Raises:
        ConfigError: ``given`` has a key that ``settings`` has not (suggests the nearest).
    """
    for key in given:
        if key not in settings:
            raise ConfigError(
                f"{where}: unknown key {key!r}, known: {', '.join(settings)}."
                f"{nearest(str(key), settings)}"
            )
    return {**settings, **given}


def _from_folder(given: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return ``given`` with absolute paths where the recipe's folder holds what it names."""

    def found(name: Any) -> Any:
        file = file_of(str(folder / name)) if isinstance(name, str) else ""
        columns = str(folder / name).removeprefix(file) if file else ""
        path = Path(file) if file else folder
        if path != folder and path.exists():
            return f"{path.resolve()}{columns}"
        several = _several(file_of(name), folder) if isinstance(name, str) and name else ""
        return f"{several}{columns}" if several else name

    files = given.get("files")
    absolute = {"files": {role: found(name) for role, name in files.items()}} if isinstance(
        files, dict) else {}  # fmt: skip
    named = {key: given.get(key, ORGANISM) for key in ("model", "organism")}
    models = {key: found(name) for key, name in named.items() if name != ORGANISM}
    return {**given, **absolute, **models}


def _several(names: str, folder: Path) -> str:
    """Return files with commas, or a pattern, as paths; "" where the folder has no such files."""
    parts = (str((folder / name.strip()).resolve()) for name in names.split(","))
    joined = ",".join(parts)
    places = paths_in(joined)
    return joined if places and all(place.exists() for place in places) else ""


def _text(recipe: str) -> str:
    path = Path(recipe)
    if path.is_file():
        return text_of(path, f"recipe {recipe}")
    by_name = str(path.parent) in (".", "recipes") and path.suffix in ("", ".yaml")
    if by_name and path.stem in packaged():
        return files("holdfast.bench.recipes").joinpath(f"{path.stem}.yaml").read_text("utf-8")
    raise ConfigError(
        f"recipe {recipe}: file not found; give a YAML file or one of: {', '.join(packaged())}."
        f"{nearest(path.stem, packaged())}"
    )
