"""``screen.json``: what a screening found in a data set, and what is to be done with its rows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue, ValidationError

from holdfast.errors import DataError
from holdfast.files.guarded.documents import json_in
from holdfast.files.kinds import refuse_other_kind
from holdfast.files.whole import refuse_newer
from holdfast.results.records import Record

__all__ = [
    "SCREEN_SCHEMA", "FoundSpan", "Score", "ScreenFile", "ScreenFinding", "ScreenUse",
    "ScreenedRow",
]  # fmt: skip

SCREEN_SCHEMA = 1
Action = Literal["keep", "review", "mask", "drop"]


class FoundSpan(Record):
    """Characters of one message; the first message and the first character are 0."""

    message: int
    start: int
    end: int


class ScreenFinding(Record):
    """One thing that a check found; no text of the row is in it."""

    check: str
    row: int | None = Field(description="Number of the row in the source; null for the whole set.")
    severity: Literal["note", "warn", "alarm", "refuse"]
    action: Action
    reason: str
    span: FoundSpan | None = None
    text: str | None = Field(
        default=None,
        exclude_if=lambda told: told is None,
        description="What stands there, where the user asked for it.",
    )


class Score(Record):
    """One component of a row's score."""

    value: float | None
    percentile: float | None = Field(default=None, description="Among reference rows, 0 to 100.")


class ScreenedRow(Record):
    """What is to be done with one row; edit ``action`` to decide otherwise."""

    row: int
    id: str | None = None
    action: Action
    severity: Literal["note", "warn", "alarm", "refuse"] | None = None
    checks: list[str] = Field(default_factory=list[str])
    components: dict[str, Score] = Field(default_factory=dict[str, Score])


class ScreenUse(Record):
    """What a run did with the data by a ``screen.json``."""

    path: str
    sha256: str = Field(description="Of the file.")
    rows: int = Field(description="Rows before.")
    dropped: int
    masked: int = Field(description="Rows with a segment that is not learned.")
    review: int = Field(description="Rows to review, which were kept.")
    control: bool = Field(default=False, description="As many rows were dropped at random instead.")


class ScreenFile(Record):
    """A whole screening."""

    schema_version: int = SCREEN_SCHEMA
    holdfast: str = ""
    path: str
    sha256: str = Field(description="Of the examples, as a result's data have it.")
    rows: int = Field(description="Rows of the data that can be read.")
    unreadable: list[int] = Field(default_factory=list[int])
    sampled: int | None = Field(default=None, description="Rows that were looked at, of a sample.")
    model: str | None = None
    template_sha256: str | None = None
    max_length: int | None = None
    guard: str | None = None
    unchecked: dict[str, str] = Field(
        default_factory=dict[str, str], description="Checks that did not run, and why."
    )
    counts: dict[str, dict[str, int]] = Field(
        default_factory=dict[str, dict[str, int]], description="Rows by action, severity, check."
    )
    calibration: str | None = Field(default=None, description="What the scores are worth here.")
    scores: dict[str, JsonValue] = Field(default_factory=dict[str, JsonValue])
    notes: list[str] = Field(default_factory=list[str])
    screened: list[ScreenedRow] = Field(
        default_factory=list[ScreenedRow], description="Rows with a finding or a score."
    )
    findings: list[ScreenFinding] = Field(default_factory=list[ScreenFinding])

    @property
    def actions(self) -> Mapping[int, Action]:
        """What is to be done with each row that has a finding."""
        return {each.row: each.action for each in self.screened}

    @classmethod
    def load(cls, path: Path) -> "ScreenFile":
        """Read a ``screen.json``.

        Raises:
            DataError: It cannot be read, or is none.
            InputError: A newer holdfast has written it, or it is another of holdfast's files.
        """
        try:
            found = json_in(path)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise DataError(
                f"{path}: cannot be read ({why}): write it with holdfast screen"
            ) from error
        try:
            if isinstance(found, dict):
                refuse_other_kind(path, found, "screen.json")
                refuse_newer(path, found.get("schema_version", 0), SCREEN_SCHEMA)
            return cls.model_validate(found)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the document"
            said = f"{path}: is no screen.json of holdfast screen ({where}: {first['msg']})"
            raise DataError(f"{said}: write it anew") from error
