"""What a screening writes: its folder, and the clean rows; the data itself is never changed."""

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from holdfast.commands.screening.options import ScreenConfig
from holdfast.commands.screening.rows import Data
from holdfast.data.rows import Rows
from holdfast.errors import ConfigError, DataError
from holdfast.files.folders import WholeFolder
from holdfast.files.whole import write_whole
from holdfast.inputs.rows import ORGANISM
from holdfast.report.screening.page import write_page
from holdfast.report.screening.table import csv_of
from holdfast.results.screening.file import ScreenFile

__all__ = ["check_places", "write"]

GONE = ("drop", "mask")
"""A plain file cannot say that a segment is not learned, so rows to mask are left out of it."""


def check_places(config: ScreenConfig, data: Data, folder: WholeFolder | None) -> None:
    """Refuse an output that exists, or a clean file in the place of what is read.

    Raises:
        ConfigError: See above.
        DataError: A row holds what a clean file cannot.
    """
    if folder is not None:
        folder.check([*data.files, *config.beside])
    if config.clean is None:
        return
    place, shown = config.clean.resolve(), f"`clean={config.clean}`"
    if place in {file.resolve() for file in data.files}:
        raise ConfigError(f"{shown}: is the data itself: name another file")
    if place in {path.resolve() for path in config.beside} or place.is_dir():
        raise ConfigError(f"{shown}: is a folder, or a file that is read: name another file")
    if folder is not None and folder.target.resolve() in place.parents:
        raise ConfigError(f"{shown}: lies in the output, which is replaced: name another place")
    for _ in _clean(config, data, {}):
        pass  # Who finds out after hours that a row cannot be written has lost them.


def write(
    config: ScreenConfig, data: Data, file: ScreenFile, folder: WholeFolder | None
) -> int | None:
    """Write the folder and the clean file that a config names; returns the rows of the latter."""
    kept = None
    if config.clean is not None:
        lines = list(_clean(config, data, file.actions))
        write_whole(config.clean, "".join(lines))
        kept = len(lines)
    if folder is not None:
        with folder.held(), folder.writing() as partial:
            write_whole(partial / "screen.json", file.model_dump_json(indent=1) + "\n")
            write_whole(partial / "screen.csv", csv_of(file, data.looked_at))
            write_page(file, partial / "screen.html", config.top)
    return kept


def _clean(config: ScreenConfig, data: Data, actions: Mapping[int, str]) -> Iterator[str]:
    """Yield the rows to keep as JSON lines, with all that their file has of them."""
    for number, values in _raw(config, data):
        if actions.get(number) not in GONE:
            try:
                yield json.dumps(values, ensure_ascii=False) + "\n"
            except TypeError as error:
                said = f"row {number} of {config.file} holds what JSON cannot ({error})"
                raise DataError(f"{said}: leave out `clean`") from error


def _raw(config: ScreenConfig, data: Data) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if data.source == ORGANISM:
        for row in data.examples:
            yield row["row"], {key: row[key] for key in ("prompt", "completion")}
        return
    rows = Rows(data.source, data.columns, config.split)
    yield from ((row.number, row.values) for row in islice(rows.raw(), config.limit))
