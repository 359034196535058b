"""Look at a data file: what it is, what is read of it, and what a run would stumble over."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from holdfast.commands.data_view.options import DataConfig
from holdfast.commands.data_view.sources import overlaps, source_of
from holdfast.commands.data_view.tokens import ModelView, model_view
from holdfast.data.columns import columns_of
from holdfast.data.notices import Notice, notices_of
from holdfast.data.overview.lengths import Lengths
from holdfast.data.overview.looked import Looked, look_through
from holdfast.data.overview.overlap import Overlap
from holdfast.data.overview.repeats import empty_answers, repeated_but_for_form
from holdfast.data.rows import Part
from holdfast.errors import ConfigError
from holdfast.inputs.guards.network import offline_where_local
from holdfast.inputs.rows import unread_splits

__all__ = ["DataView", "FileView", "look_at_data"]


@dataclass(frozen=True)
class FileView:
    """One file of the source."""

    name: str
    how: str
    """Its format."""
    shape: str
    says: str
    """What a row of the shape is."""
    columns: dict[str, str]
    """Which column holds what."""
    rows: tuple[int, int]
    """Numbers of its first and last row."""


@dataclass(frozen=True)
class DataView:
    """What was found of a source."""

    source: str
    answered: bool
    """Whether its rows have answers, so that they can be trained on."""
    files: list[FileView]
    rows: int
    """Rows that can be read."""
    bad: dict[int, str]
    """Number of each row that cannot, and why."""
    holds: dict[str, int]
    """How many rows hold what a plain question and answer do not."""
    lengths: dict[str, Lengths]
    """In characters: of the prompt and of the answer."""
    notes: list[str]
    findings: list[Notice]
    overlaps: list[Overlap]
    model: ModelView | None

    def as_json(self) -> dict[str, Any]:
        """Return all of it for a program."""
        return {
            **asdict(self),
            "lengths": {name: found.told() for name, found in self.lengths.items()},
            "findings": [{"said": f.sentence, "rows": f.rows} for f in self.findings],
            "model": None if self.model is None else self.model.as_json(),
        }


@offline_where_local
def look_at_data(config: DataConfig) -> DataView:
    """Read ``config.file`` to its end and return what is in it; nothing is written.

    Raises:
        InputError: The file cannot be read, or an option cannot be used.
    """
    _check(config)
    source, columns = source_of(config.file)
    given = columns or columns_of(config.columns)
    looked = look_through(source, given, config.split, config.limit)
    shared = overlaps(looked.examples, config.against)
    harmful = frozenset(row for each in shared for row in (*each.same, *each.alike))
    rows = looked.examples
    return DataView(
        source=config.file,
        answered=looked.answered,
        files=[_file(part) for part in looked.rows.parts],
        rows=len(rows),
        bad=looked.bad,
        holds=looked.held(),
        lengths=_characters(looked),
        notes=[
            *looked.notes,
            *(f"{a}: {told}" for a in config.against for told in unread_splits(a)),
        ],
        findings=[*notices_of(rows), *repeated_but_for_form(rows), *empty_answers(rows)],
        overlaps=shared,
        model=model_view(config, looked, frozenset() if config.show_harmful else harmful),
    )


def _check(config: DataConfig) -> None:
    for name, least in (("limit", 1), ("max_length", 1), ("show", 0)):
        value = getattr(config, name)
        if value is not None and value < least:
            raise ConfigError(f"`{name}={value}` is out of range, expected at least {least}")


def _file(part: Part) -> FileView:
    shape = part.reader.shape
    return FileView(
        name=part.table.name,
        how=part.table.how(),
        shape=shape.name if shape else "",
        says=shape.says if shape else "",
        columns=part.reader.columns,
        rows=(part.before + 1, part.last),
    )


def _characters(looked: Looked) -> dict[str, Lengths]:
    def lengths(field: str) -> Lengths:
        return Lengths.of([_length(row[field]) for row in looked.examples])

    found = {"prompt": lengths("prompt")}
    return {**found, "answer": lengths("completion")} if looked.answered else found


def _length(messages: Sequence[Mapping[str, Any]]) -> int:
    return sum(len(message["content"]) for message in messages)
