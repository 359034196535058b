"""Read a YAML file that holds one mapping: a recipe, or options of a run."""

from pathlib import Path
from typing import Any

import yaml

from holdfast.errors import ConfigError
from holdfast.files.guarded.documents import refuse_deep, text_in

__all__ = ["mapping_in", "text_of"]


def text_of(path: Path, where: str) -> str:
    """Return the file's text; ``where`` is what an error calls it.

    Raises:
        ConfigError: It is missing or cannot be read.
    """
    try:
        return text_in(path)
    except FileNotFoundError as error:
        raise ConfigError(f"{where}: file not found: check the path") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{where}: cannot be read ({error}): give a YAML file") from error


def mapping_in(text: str, where: str) -> dict[str, Any]:
    """Return the mapping that ``text`` holds; none where it is empty.

    Raises:
        ConfigError: It is not YAML (names the line), or no mapping of words.
    """
    try:
        document: Any = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        raise ConfigError(f"{where}{line}: is not valid YAML: write key: value") from error
    try:
        refuse_deep(document)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}: write key: value") from error
    found = {} if document is None else document
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise ConfigError(f"{where}: expected a mapping of settings, key: value")
    return found
