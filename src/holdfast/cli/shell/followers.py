"""Several processes of one run are one command to who reads: the first one speaks, and only it."""

import os
from collections.abc import Generator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from holdfast.files.outputs.processes import another_tells, is_hushed, place

__all__ = ["first_alone_speaks", "told_elsewhere"]


@contextmanager
def first_alone_speaks() -> Generator[None]:
    """Send what the body writes nowhere, in every process of a launcher but the first."""
    if place()[0] == 0:
        yield
        return
    nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    with nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


def told_elsewhere(error: BaseException) -> bool:
    """Tell whether another process tells this error: each of them reads the same arguments."""
    usage = hasattr(error, "format_message")
    return is_hushed(error) or (usage and another_tells())
