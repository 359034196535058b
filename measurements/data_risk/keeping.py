"""What a study keeps of each run, so that it is not run again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from holdfast.files.guarded.documents import json_in
from holdfast.files.whole import write_whole

__all__ = ["kept"]


def kept(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what stands in the file, made now where it does not stand there."""
    if not path.exists():
        write_whole(path, json.dumps(make()) + "\n")
    return json_in(path)
