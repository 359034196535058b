"""Slow work on many rows, block by block: what a stopped run had done is not done again.

Each block is a JSON file named by the hash of what it was made of, in a folder beside the output
that goes when the output is whole. No text of the rows is in it.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from holdfast.files.guarded.documents import json_in
from holdfast.files.whole import write_whole

__all__ = ["Blocks"]

ROWS = 256


class Blocks:
    """The blocks of one output; without one nothing is kept."""

    def __init__(self, output: Path | None) -> None:
        self.folder = None if output is None else output.parent / f".{output.name}.blocks"

    def each(
        self,
        items: Sequence[Any],
        made_of: Any,
        make: Callable[[Sequence[Any]], list[Any]],
        told: Callable[[int, int], None],
        is_done: Callable[[list[Any]], bool] = bool,
    ) -> list[Any]:
        """Return what ``make`` gives for the items, one JSON value each, in order.

        Args:
            items: JSON values.
            made_of: All that decides the values beside the items; a JSON value.
            make: Takes the items of one block.
            told: Is told how many are done, of how many.
            is_done: Says whether a block's values stand; others are made again in another run.
        """
        found: list[Any] = []
        for start in range(0, len(items), ROWS):
            told(start, len(items))
            block = items[start : start + ROWS]
            path = self._path([made_of, block])
            values = self._kept(path, len(block))
            if values is None:
                values = make(block)
                if path is not None and is_done(values):
                    write_whole(path, json.dumps(values))
            found += values
        told(len(items), len(items))
        return found

    def clear(self) -> None:
        """Remove what was kept."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, made_of: Any) -> Path | None:
        if self.folder is None:
            return None
        text = json.dumps(made_of, sort_keys=True, default=str)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"

    def _kept(self, path: Path | None, size: int) -> list[Any] | None:
        if path is None or not path.is_file():
            return None
        try:
            values = json_in(path)
        except (OSError, ValueError):
            return None  # It is made again.
        return values if isinstance(values, list) and len(values) == size else None
