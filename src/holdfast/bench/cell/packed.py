"""A cell's result without its texts, packed: what a published bench goes on from.

``cells/KEY/result.json.gz`` holds what ``result.json`` does but prompts, answers, thoughts and a
judge's words, a few kilobytes in place of hundreds. Every figure, interval and comparison comes
out of it as it came out of the whole one; samples of answers do not.
"""

import gzip
import hashlib
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from holdfast.files.guarded.documents import MOST_BYTES, json_in, json_of
from holdfast.results.records import SeedRun

__all__ = ["PACKED", "pack", "seal_of", "sealed", "unpacked"]

PACKED = "result.json.gz"


def pack(result: Path, folder: Path) -> Path:
    """Write the cell of a ``result.json`` without its texts into ``folder``, and return the file.

    The same cell gives the same bytes.

    Raises:
        OSError: It cannot be read or written.
        ValueError: It is damaged.
    """
    document = json_in(result)
    run = SeedRun.model_validate(document["run"]).without_texts()
    text = sealed({"settings": document["settings"], "run": run.model_dump(mode="json")})
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / PACKED
    target.write_bytes(gzip.compress(text.encode(), mtime=0))
    return target


def unpacked(path: Path) -> Any:
    """Return the document of a packed cell.

    Raises:
        OSError: It cannot be read, or is no gzip file.
        ValueError: It is damaged inside, too large, not UTF-8 or no JSON.
    """
    try:
        with gzip.open(path) as file:
            content = file.read(MOST_BYTES + 1)
    except zlib.error as error:
        raise ValueError(f"{path} cannot be unpacked ({error})") from error
    if len(content) > MOST_BYTES:
        raise ValueError(f"{path} has more than {MOST_BYTES // 2**20} MiB")
    return json_of(content.decode("utf-8"))


def sealed(content: Mapping[str, Any]) -> str:
    """Return a document of ``content`` with its SHA-256, by which damage is found."""
    return json.dumps({"sha256": seal_of(content), **content}, ensure_ascii=False) + "\n"


def seal_of(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a document's content."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
