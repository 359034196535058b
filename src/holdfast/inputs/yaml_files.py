"""Read a YAML file that holds one mapping: a recipe, or options of a run."""

from pathlib import Path
from typing import Any

import yaml

from holdfast.errors import ConfigError
from holdfast.files.guarded.documents import refuse_deep, text_in

__all__ = ["mapping_in", "text_of"]


class _Twice(yaml.MarkedYAMLError):
    """A key stands twice in one mapping."""


class _Once(yaml.SafeLoader):
    """Reads no mapping in which a key stands twice: one of the two would be lost without a word."""

    def compose_mapping_node(self, anchor: Any) -> Any:
        """Return the mapping's node, before anything is merged into it."""
        node: Any = super().compose_mapping_node(anchor)
        seen: set[Any] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise _Twice(problem=f"{key.value!r} stands twice", problem_mark=key.start_mark)
                seen.add(key.value)
        return node


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
        ConfigError: It is not YAML (names the line), no mapping of words, or a key stands twice.
    """
    try:
        document: Any = yaml.load(text, _Once)  # noqa: S506  # It is a SafeLoader.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        if isinstance(error, _Twice):
            raise ConfigError(f"{where}{line}: {error.problem}: keep one of them") from error
        raise ConfigError(f"{where}{line}: is not valid YAML: write key: value") from error
    try:
        refuse_deep(document)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}: write key: value") from error
    found = {} if document is None else document
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise ConfigError(f"{where}: expected a mapping of settings, key: value")
    return found
