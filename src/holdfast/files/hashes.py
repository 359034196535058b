"""A data set's fingerprint: the same examples give the same hash, whatever file they came from."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["canonical", "sha256_of"]


def canonical(example: Mapping[str, Any]) -> str:
    """Return ``prompt`` and ``completion`` as canonical JSON: sorted keys, no spaces, UTF-8.

    A row that is a whole conversation (``rich``) has that in its JSON as well.

    Bookkeeping columns (``row``, ``id``) are left out, so that a file's order of columns, its
    format and its name do not change the hash.
    """
    kept = {key: example[key] for key in ("prompt", "completion")}
    if example.get("rich") is not None:
        kept["rich"] = example["rich"]
    return json.dumps(kept, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def sha256_of(examples: Iterable[Mapping[str, Any]]) -> str:
    """Return the SHA-256, in hexadecimal digits, of the examples' canonical JSON, a line each.

    The order of the rows counts: training sees it.
    """
    digest = hashlib.sha256()
    for example in examples:
        digest.update(canonical(example).encode() + b"\n")
    return digest.hexdigest()
