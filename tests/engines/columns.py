"""The columns of the engine matrix: on what a defense is run, and what it must be equal to there.

Each column also makes sure that its engine was at work: one that silently ran nothing of its own
would be equal to everything.
"""

from collections.abc import Callable
from dataclasses import dataclass

from holdfast.testing.runs import Weights
from tests.contract.recipes import Recipe
from tests.engines import one_process, references, several_processes, under_deepspeed
from tests.engines.trainers import Tuning

__all__ = ["COLUMNS", "Column"]

Weighed = Callable[[Recipe, Tuning], Weights]


@dataclass(frozen=True)
class Column:
    """One engine, or one way to run steps."""

    name: str
    title: str
    tolerance: float
    """Largest absolute difference that a weight may have; a run moves weights by about 1e-2."""
    against: str
    """What the weights are compared with, and why they may differ by that much."""
    run: Weighed
    wanted: Weighed = references.whole
    processes: int = 1


_ONE = "the run in one process, in float32, without it"
_ORDER = "sums are taken in another order"

COLUMNS = {
    column.name: column
    for column in (
        Column(
            "accumulation", "accumulation", 1e-6,
            "two micro-batches of two rows against one batch of the same four; what acts on each "
            f"micro-batch by definition, against the mean over them; {_ORDER}",
            one_process.accumulated, references.by_micro_batches,
        ),
        Column(
            "bf16", "bf16 autocast", 0.0,
            "the same run, `bf16=False`, of a model whose own forward always runs under autocast: "
            "any pass of a defense outside autocast, or any edit in bfloat16, would differ",
            one_process.autocast, references.in_bfloat16,
        ),
        Column(
            "checkpointing", "activation checkpointing", 1e-6,
            f"{_ONE}; as many recomputations as backward passes were counted, and a Fisher "
            "information sums row by row there",
            one_process.recomputed,
        ),
        Column(
            "compile", "torch.compile", 1e-6,
            f"{_ONE}; backend `eager` (what is traced is what this column is about; inductor's own "
            "arithmetic is not), in a process that compiled the class before",
            one_process.compiled,
        ),
        Column(
            "resume", "resume", 0.0,
            f"{_ONE}, stopped by Ctrl-C in its last step and gone on with in another trainer",
            one_process.resumed,
        ),
        Column(
            "ddp", "DDP × 2", 1e-6,
            f"one process with the same global batch; both processes bit for bit alike; {_ORDER}",
            several_processes.ddp, processes=2,
        ),
        Column(
            "fsdp2", "FSDP2 × 2", 1e-6,
            "as under DDP; `fully_shard` over gloo on the processor, which accelerate was allowed",
            several_processes.fsdp2, processes=2,
        ),
        Column(
            "zero", "ZeRO-2, ZeRO-3", 1e-6,
            "as under DDP, by DeepSpeed 0.19.8 itself, each stage; without it what is refused is "
            "refused all the same, and the rest is not run",
            under_deepspeed.zero, processes=2 if under_deepspeed.INSTALLED else 1,
        ),
    )
}  # fmt: skip
"""By name, in the order of the table."""
