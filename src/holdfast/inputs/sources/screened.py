"""What a ``screen.json`` says is done with the rows of a run: dropped, masked, and recorded."""

import hashlib
import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Protocol, TypeVar

from datasets import Dataset, Value

from holdfast.data.turns.masked import MASKED
from holdfast.errors import ConfigError, DataError
from holdfast.files.hashes import sha256_of
from holdfast.inputs.configs import TuneConfig
from holdfast.results.screening.file import ScreenFile, ScreenUse

__all__ = ["by_screen"]


class _Source(Protocol):
    @property
    def rows(self) -> Dataset: ...
    @property
    def notes(self) -> tuple[str, ...]: ...


Found = TypeVar("Found", bound=_Source)


def by_screen(found: Found | None, config: TuneConfig) -> Found | None:
    """Return the user's rows as the screening that the config names says, and what it did.

    Raises:
        DataError: The file is none, or of other data, or of a sample, or leaves no row.
        ConfigError: A control is asked for without a screening.
    """
    if config.screen is None:
        if config.screen_control:
            raise ConfigError(
                "`screen_control` drops as many rows as a screening: add `screen=FILE`"
            )
        return found
    if found is None:
        return None
    file = ScreenFile.load(config.screen)
    rows = _numbered(found.rows)
    _check(file, rows, config)
    kept, use = _applied(file, rows, config)
    notes = (*found.notes, _told(use))
    return replace(found, rows=kept, notes=notes, screened=use)  # type: ignore[type-var]


def _numbered(rows: Dataset) -> Dataset:
    """Return rows with their numbers: those that are made have none."""
    if "row" in rows.column_names and all(n is not None for n in rows["row"]):
        return rows
    bare = rows.remove_columns([name for name in ("row",) if name in rows.column_names])
    return bare.add_column("row", list(range(1, len(rows) + 1)))  # type: ignore[call-arg]


def _check(file: ScreenFile, rows: Dataset, config: TuneConfig) -> None:
    shown = f"`screen={config.screen}`"
    if file.sampled is not None:
        raise DataError(f"{shown}: is of a sample: screen all rows")
    if file.sha256 != sha256_of(rows):  # type: ignore[arg-type]
        raise DataError(
            f"{shown}: is of other data than {config.data} ({file.rows:,} rows of {file.path}): "
            "screen this data, with the same columns, split and limit"
        )
    if len(file.actions) < len(file.screened):
        raise DataError(f"{shown}: has two entries for one row: leave one of them")
    unknown = sorted(set(file.actions) - set(rows["row"]) - set(file.unreadable))
    if unknown:
        raise DataError(f"{shown}: names row {unknown[0]}, which the data have not: write it anew")


def _applied(file: ScreenFile, rows: Dataset, config: TuneConfig) -> tuple[Dataset, ScreenUse]:
    actions = file.actions
    gone = {n for n, row in enumerate(rows["row"]) if actions.get(row) == "drop"}
    masks = {} if config.screen_control else _masks(file)
    if config.screen_control:
        random = Random(f"screen-{config.seed}")  # noqa: S311  # No secret.
        gone = set(random.sample(range(len(rows)), len(gone)))
    if len(gone) == len(rows):
        raise DataError(f"`screen={config.screen}`: drops every row: look at it, and edit `action`")
    kept = rows.select([n for n in range(len(rows)) if n not in gone])
    masked = [json.dumps(masks[row]) if row in masks else None for row in kept["row"]]
    if any(masked):
        kept = kept.add_column(MASKED, masked, feature=Value("string"))  # type: ignore[call-arg]
    path = Path(str(config.screen))
    use = ScreenUse(
        path=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        rows=len(rows), dropped=len(gone),
        masked=sum(one is not None for one in masked), control=config.screen_control,
        review=sum(actions.get(row) == "review" for row in kept["row"]),
    )  # fmt: skip
    return kept, use


def _masks(file: ScreenFile) -> dict[int, list[list[int]]]:
    """Return the segments of each row to mask."""
    found: dict[int, list[list[int]]] = defaultdict(list)
    for each in file.findings:
        row, span = each.row, each.span
        if row is None or span is None or each.action != "mask":
            continue
        if file.actions.get(row) == "mask":
            found[row].append([span.message, span.start, span.end])
    lost = [row for row, action in file.actions.items() if action == "mask" and row not in found]
    if lost:
        raise DataError(f"row {lost[0]} is to be masked and no finding says where: drop or keep it")
    return found


def _told(use: ScreenUse) -> str:
    share = f"{use.dropped:,} of {use.rows:,} rows ({use.dropped / use.rows:.2%})"
    if use.control:
        return f"screen control: {share} were dropped at random, as many as {use.path} drops"
    return (
        f"{use.path}: {share} were dropped, {use.masked:,} have a segment that is not learned, "
        f"{use.review:,} to review are kept; `screen_control` drops as many at random, to compare"
    )
