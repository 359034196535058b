"""Where a result comes from: library versions, the machine, hashes of the data, memory used."""

import hashlib
import json
import os
import platform
import resource
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from pydantic import Field

from holdfast.errors import DataError
from holdfast.report.records import Record

__all__ = ["DataSource", "Machine", "fingerprint", "peak_memory_gib", "this_machine", "versions"]

PACKAGES = ("holdfast", "torch", "transformers", "trl", "peft", "accelerate")
GIB = 2**30


class DataSource(Record):
    """One set of rows a run has read."""

    name: str = Field(description="What it was used as: 'user', 'harmful', 'evaluation'.")
    sha256: str = Field(description="Of the file's bytes, or of the rows as canonical JSON.")
    rows: int
    path: str = Field(default="", description="File or hub id, where there is one.")


class Machine(Record):
    """The machine a run was measured on."""

    platform: str
    processor: str = ""
    cores: int | None = None
    threads: int | None = Field(default=None, description="Threads torch may use.")
    memory_gib: float | None = None
    accelerator: str = Field(default="", description="Name of the GPU, empty on a CPU.")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries a result depends on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def this_machine() -> Machine:
    """Describe this machine; what the system does not tell stays empty."""
    return Machine(
        platform=f"{platform.system()} {platform.release()} {platform.machine()}",
        processor=_processor(),
        cores=os.cpu_count(),
        threads=torch.get_num_threads(),
        memory_gib=_memory_gib(),
        accelerator=torch.cuda.get_device_name(0) if torch.cuda.is_available() else "",
    )


def fingerprint(
    name: str, rows: Iterable[Mapping[str, Any]], path: str | Path | None = None
) -> DataSource:
    """Return a source's hash and number of rows.

    The hash is of the file's bytes where ``path`` is a file, else of the rows as canonical JSON.

    Args:
        name: What the rows were used as.
        rows: The rows, JSON-like.
        path: File or hub id they came from.

    Raises:
        DataError: The file cannot be read.
    """
    listed = [dict(row) for row in rows]
    file = Path(path) if path is not None else None
    digest = hashlib.sha256()
    if file is not None and file.is_file():
        try:
            digest.update(file.read_bytes())
        except OSError as error:
            raise DataError(f"{file} cannot be read: {error.strerror}; check it") from error
    else:
        for row in listed:
            digest.update(json.dumps(row, sort_keys=True, default=str).encode() + b"\n")
    return DataSource(name=name, sha256=digest.hexdigest(), rows=len(listed), path=str(path or ""))


def peak_memory_gib() -> float:
    """Return the most memory so far: of the GPU where there is one, else of the process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / GIB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts kibibytes, macOS bytes.
    return peak / GIB if sys.platform == "darwin" else peak * 1024 / GIB


def _processor() -> str:
    """Return the processor's name, as far as the system tells."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _memory_gib() -> float | None:
    """Return the machine's memory, or None where the system does not tell."""
    try:
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None
    return round(pages * size / GIB, 1)
