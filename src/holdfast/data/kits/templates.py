"""Jinja over the columns of a row: what makes a prompt and an answer of them.

The environment is a sandbox without a loader: a kit of a stranger's can read the row's own columns
and nothing else, and a column that is missing is an error and not an empty text.
"""

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from holdfast.data.formats import RawRow
from holdfast.data.kits.registry import Chosen
from holdfast.data.shapes.texts import few
from holdfast.errors import ConfigError, DataError
from holdfast.files.guarded.limits import time_limit

__all__ = ["KitRows"]

_JINJA = ImmutableSandboxedEnvironment(undefined=StrictUndefined, trim_blocks=False)


class KitRows:
    """Turns raw rows into rows of ``prompt``, ``completion`` and ``category``.

    Raises:
        ConfigError: A template of the kit is no Jinja.
    """

    def __init__(self, chosen: Chosen) -> None:
        part = chosen.part
        self._name = chosen.name
        self._prompt = self._compiled("prompt", part.prompt)
        self._answer = self._compiled("answer", part.answer) if part.answer is not None else None
        self._where = self._expression(part.where) if part.where is not None else None
        self._category = part.category

    def row(self, raw: RawRow) -> RawRow | None:
        """Return the row of the kit, or None where its condition leaves it out.

        Raises:
            DataError: A column that a template names is missing, or makes it fail.
        """
        columns = {_column(name): value for name, value in raw.values.items()}
        columns["row"] = list(raw.values.values())
        if self._where is not None and not self._filled(raw, self._where, columns):
            return None
        values = {"prompt": self._filled(raw, self._prompt, columns)}
        if self._answer is not None:
            values["completion"] = self._filled(raw, self._answer, columns)
        if self._category is not None and columns.get(self._category) is not None:
            values["category"] = str(columns[self._category])
        return RawRow(raw.number, raw.place, values, raw.beside)

    def _compiled(self, field: str, text: str) -> Callable[..., Any]:
        try:
            return _JINJA.from_string(text).render
        except TemplateError as error:
            raise ConfigError(f"kit {self._name}: {field} is no Jinja: {error}") from error

    def _expression(self, text: str) -> Callable[..., Any]:
        try:
            return _JINJA.compile_expression(text, undefined_to_none=False)
        except TemplateError as error:
            raise ConfigError(f"kit {self._name}: where is no Jinja: {error}") from error

    def _filled(self, raw: RawRow, template: Callable[..., Any], columns: Mapping[str, Any]) -> Any:
        try:
            with time_limit():
                return template(**columns)
        except Exception as error:
            # A template computes with what a stranger's row holds, so it can fail in any way.
            found = few(map(repr, raw.values))
            why = " ".join(str(error).split()) or type(error).__name__
            raise DataError(
                f"{raw.place}: does not fit the kit {self._name}: {why} (columns found: {found}): "
                "give the file as the kit's source publishes it, or as a path with its columns"
            ) from error


def _column(name: str) -> str:
    """Return a column's name as templates write it."""
    return name.strip().casefold().replace(" ", "_").replace("-", "_")
