"""Where a result comes from: library versions, the machine, hashes of the data, memory used."""

import os
import platform
import resource
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from pydantic import Field

from holdfast.files.hashes import sha256_of
from holdfast.results.records import Record
from holdfast.results.screening.file import ScreenUse

__all__ = [
    "DataSource", "Machine", "fingerprint", "peak_memory_gib", "reset_peak_memory", "this_machine",
    "versions",
]  # fmt: skip

PACKAGES = ("holdfast", "torch", "transformers", "trl", "peft", "accelerate")
GIB = 2**30


class DataSource(Record):
    """One set of rows a run has read."""

    name: str = Field(description="What it was used as: 'user', 'harmful', 'evaluation'.")
    sha256: str = Field(description="Of the examples as canonical JSON.")
    rows: int
    path: str = Field(default="", description="File or hub id, where there is one.")
    origin: str = Field(
        default="",
        exclude_if=lambda told: told == "",
        description="Of a kit: its title, licence and exact source.",
    )
    screened: ScreenUse | None = Field(
        default=None,
        exclude_if=lambda told: told is None,
        description="What a screening dropped and masked of it; hash and rows are what was left.",
    )


class Machine(Record):
    """The machine a run was measured on."""

    platform: str
    processor: str = ""
    cores: int | None = None
    threads: int | None = Field(default=None, description="Threads torch may use.")
    memory_gib: float | None = None
    accelerator: str = Field(default="", description="Name of the GPU, empty on a CPU.")

    @property
    def computes_on(self) -> str:
        """What the time of a run depends on: the GPU, or else the processor."""
        return self.accelerator or self.processor


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries a result depends on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def this_machine(computed_on: Collection[str] = ()) -> Machine:
    """Describe this machine; what the system does not tell stays empty.

    ``computed_on`` is what runs in processes of their own, as a bench's, say that they ran on.
    """
    return Machine(
        platform=f"{platform.system()} {platform.release()} {platform.machine()}",
        processor=_processor(), cores=os.cpu_count(), threads=torch.get_num_threads(),
        memory_gib=_memory_gib(),
        accelerator=_gpu(computed_on),
    )  # fmt: skip


def fingerprint(
    name: str, examples: Sequence[Mapping[str, Any]], path: str | Path = ""
) -> DataSource:
    """Return the hash and the number of examples, in the order in which a run reads them.

    The same examples have the same hash, whatever file they came from.
    """
    return DataSource(name=name, sha256=sha256_of(examples), rows=len(examples), path=str(path))


def peak_memory_gib() -> float:
    """Return the most memory so far: of the GPU where one is used, else of the process."""
    if _gpu_is_used():
        return torch.cuda.max_memory_allocated() / GIB
    status = Path("/proc/self/status")
    if status.is_file():
        # getrusage would also count what the parent held when it started this process.
        line = next(row for row in status.read_text().splitlines() if row.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / GIB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, other systems kibibytes.
    return peak / GIB if sys.platform == "darwin" else peak * 1024 / GIB


def reset_peak_memory() -> None:
    """Let ``peak_memory_gib`` count from now on, where the system can (a GPU, Linux)."""
    if _gpu_is_used():
        torch.cuda.reset_peak_memory_stats()
        return
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


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


def _gpu(computed_on: Collection[str]) -> str:
    """Return the name of the GPU that this process or one of its runs computed on, or ""."""
    if not torch.cuda.is_available() or not (computed_on or _gpu_is_used()):
        return ""
    name = torch.cuda.get_device_name(0)
    return name if _gpu_is_used() or name in computed_on else ""


def _gpu_is_used() -> bool:
    """Tell whether this process has computed on a GPU: one that lay idle made no figure.

    Libraries open it in runs on the processor, too, and put nothing there.
    """
    opened = torch.cuda.is_available() and torch.cuda.is_initialized()
    return opened and torch.cuda.max_memory_allocated() > 0
