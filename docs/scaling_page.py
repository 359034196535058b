"""The tables of docs/scaling.md, by the formulae of ``scaling_model`` and of what was measured."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from real_tables import table
from scaling_model import GIB, WHOLE, Job, Shape, memory, operations, relative_time

__all__ = ["scaling_parts"]

SHAPES = {
    "7 B": Shape(hidden=4096, layers=32, inner=11008, keys=4096, vocabulary=32_000),
    "70 B": Shape(hidden=8192, layers=80, inner=28672, keys=1024, vocabulary=128_256),
}
"""Llama 2 7B and Llama 3.1 70B."""
PEAK, USED = 989e12, 0.4
"""Dense bfloat16 operations per second of an H100 by its data sheet; the share that a run gets."""
TOKENS, ROWS, GPUS = 1024, 10_000, 8
VECTOR_ROWS, VECTOR_TOKENS, VECTOR_EPOCHS, VECTOR_PASSES = 1_000, 256, 10, 2
"""The vector's training: harmful and benign rows together; every row is seen twice by a step."""
FLEET = 10_000
VARIANTS = ("plain", "post-hoc", "in-loop", "vector")


def jobs(shape: Shape) -> dict[str, Job]:
    """Return what people train of a model: all weights, an adapter, an adapter on 4 bits."""
    full = Job(shape, TOKENS, 1, active_bytes=2, recompute=True)
    lora = replace(full, lora_rank=16, base_bytes=2)
    return {
        "all weights": full,
        "LoRA, rank 16": lora,
        "QLoRA, rank 16": replace(lora, base_bytes=0.6),
    }


def scaling_parts(path: Path) -> dict[str, str]:
    """Return the generated parts of the page by the names of their markers."""
    return {
        "memory": _memory(),
        "time": _time(),
        "fleet": _fleet(),
        "checked": _checked(path),
        "speed": _speed(path.with_name("engine_speed.json")),
        "speed-135m": _speed(path.with_name("engine_speed_135m.json")),
        "speed-135m-control": _speed(path.with_name("engine_speed_135m_control.json")),
        "speed-control": _speed(path.with_name("engine_speed_control.json")),
    }


def _speed(path: Path) -> str:
    """Return what a step costs by the processor's time, with the range over rounds."""
    found = json.loads(path.read_text())
    kinds = {kind: one for kind, one in found.items() if isinstance(one, dict) and "rounds" in one}
    first = next(iter(kinds.values()))["variants"]
    rows = [
        [name, str(found["goals"].get(name, "–")), *(_ratio(kind, name) for kind in kinds.values())]
        for name in first
        if name != "plain"
    ]
    rounds, setting = ", ".join(str(one["rounds"]) for one in kinds.values()), found["setting"]
    post = [one["variants"].get("panacea post-hoc") for one in kinds.values()]
    runs = [f"{one['ratio_of_500_steps']:.2f}" if one else "not run" for one in post]
    return table(["a step over plain", "goal", *kinds], rows) + (
        f"\n\n{setting['model']}, {setting['batch']} × {setting['tokens']} tokens, medians with "
        f"least and most of {rounds} rounds, `{setting['command']}`. Post-hoc Panacea with its "
        f"step, a run of 500 steps: {', '.join(runs)}."
    )


def _ratio(kind: dict[str, Any], name: str) -> str:
    found = kind["variants"].get(name)
    if found is None:
        return "not run"
    least, most = found["least_and_most"]
    return f"{found['step_cpu_ratio']:.2f} ({least:.2f}–{most:.2f})"


def _memory() -> str:
    head = ["model", "trained", "processes", *VARIANTS]
    rows: list[list[str]] = []
    for name, shape in SHAPES.items():
        for kind, job in jobs(shape).items():
            for shards in (1, GPUS) if kind != "QLoRA, rank 16" else (1,):
                spread = replace(job, shards=shards)
                where = "FSDP2 over 8" if shards > 1 else "each whole (one, DDP)"
                found = [f"{memory(spread, v).total / GIB:.1f}" for v in VARIANTS]
                rows.append([name, kind, where, *found])
    return table(head, rows)


def _hours(job: Job, rows: int, variant: str = "plain", every: int = 1) -> float:
    """Return the hours of one GPU."""
    step = operations(job) / (PEAK * USED)
    return rows * step * relative_time(variant, every) / 3600


def _time() -> str:
    head = [
        "model",
        "trained",
        "tokens/s of a GPU",
        "plain",
        "in-loop, every=1",
        "in-loop, every=8",
    ]
    rows: list[list[str]] = []
    for name, shape in SHAPES.items():
        for kind, job in list(jobs(shape).items())[:2]:
            plain = _hours(job, ROWS)
            loops = [_hours(job, ROWS, "in-loop", every) for every in (1, 8)]
            speed = ROWS * TOKENS / (plain * 3600)
            hours = [f"{h:.2f} h" for h in (plain, *loops)]
            rows.append([name, kind, f"{speed:,.0f}", *hours])
    return table(head, rows)


def _fleet() -> str:
    head = [
        "model",
        "one vector",
        "trained in each of the jobs",
        "trained once",
        "vector in a file",
    ]
    rows: list[list[str]] = []
    for name, shape in SHAPES.items():
        job = replace(jobs(shape)["LoRA, rank 16"], tokens=VECTOR_TOKENS)
        one = _hours(job, VECTOR_ROWS * VECTOR_EPOCHS * VECTOR_PASSES)
        size = WHOLE * shape.adapter(job.vector_rank) / 2**20
        rows.append(
            [name, f"{one:.2f} h", f"{one * FLEET:,.0f} h", f"{one:.2f} h", f"{size:.0f} MiB"]
        )
    return table(head, rows)


def _checked(path: Path) -> str:
    head = ["weights", "trained", "tokens", *VARIANTS]
    rows: list[list[str]] = []
    for point in json.loads(path.read_text())["points"]:
        job = Job.from_json(point["job"])
        told = [
            f"{memory(job, v).total / 2**20:.0f} / {point['measured_mib'][v]:.0f}" for v in VARIANTS
        ]
        kind = f"LoRA, rank {job.lora_rank}" if job.lora_rank else "all weights"
        kind += ", recomputing" if job.recompute else ""
        millions = f"{job.shape.parameters / 1e6:.1f} M"
        rows.append([millions, kind, f"{job.batch} × {job.tokens}", *told])
    return table(head, rows)
