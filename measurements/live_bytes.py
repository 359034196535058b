"""How many bytes live at the peak of what a body does: each allocation and release is counted.

Resident memory also holds what the C library has not given back, which differs from run to run by
more than a small model. Torch's own allocator tells of every tensor, and of what a kernel takes for
itself.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.profiler import profile

MEMORY = "[memory]"


@dataclass
class Live:
    """What lived at one time of all that was made in the body."""

    peak: int = 0
    """Bytes at the peak. A CPU's profiler does not see what is freed of before the body."""


@contextmanager
def live_bytes() -> Generator[Live]:
    """Count while the body runs, on the GPU where there is one; read the result after it."""
    found = Live()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        yield found
        found.peak = torch.cuda.max_memory_allocated() - before
        return
    with profile(use_cpu=True, profile_memory=True) as seen:
        yield found
    results: Any = seen.kineto_results if seen is not None else None
    if results is None:
        raise RuntimeError("the profiler kept no record of memory")
    events = [(e.start_ns(), e.nbytes()) for e in results.events() if e.name() == MEMORY]
    live = 0
    for _, change in sorted(events, key=lambda event: event[0]):
        live += change
        found.peak = max(found.peak, live)
