"""What a step of each defense costs against a plain one, in the processor's time, as JSON.

As ``step_cost.py``, of other defenses and by longer turns: each variant takes one in a round, in
one process, and a figure is the median over rounds of its ratio to plain in the same round. SWAT
is measured inside its warm-up, and what a whole run with its default warm-up comes to is told from
that. Mods_Rob is the upper half of the layers, so that a warm-up needs no backward below them.
"""

import argparse
import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from holdfast import MLLR, SWAT, Defense
from holdfast.analysis.modules.robust_modules import ModuleAt, RobustModules
from measurements.cost_options import model_name, options, write
from measurements.cost_variants import (
    BATCH,
    Kind,
    Size,
    bare_model,
    panacea,
    rows,
    run,
    vector,
)

ROLES = ("q", "k", "v", "o", "gate", "up", "down")
AGAIN = "plain again"
"""A control of the measurement itself: where it is not 1, figures tell as much of the machine."""
EVERY, POST_HOC_STEPS = 8, 500
"""In the loop the first step of a turn warms up, and of ``EVERY`` others one has the passes."""
BOTH = (False, True)
KINDS = {str(kind): kind for kind in (Kind(lora, bf16) for bf16 in BOTH for lora in BOTH)}
GOALS = {
    "security_vectors": 1.02, "ml_lr": 1.02, "swat moments=fresh": 1.0,
    "panacea post-hoc": 1.02, f"panacea in-loop every={EVERY}": 1.3,
}  # fmt: skip


def variants(size: Size, folder: Path) -> dict[str, Callable[[], list[Defense]]]:
    """Return what takes turns."""
    layers = bare_model(size.model, bf16=False).config.num_hidden_layers
    upper = [ModuleAt(layer=n, role=role) for n in range(layers // 2, layers) for role in ROLES]
    found = RobustModules(layers=layers, roles=list(ROLES), modules=upper)
    modules = found.save(folder / "robust_modules.json")
    harmful, benign = rows(size, 1), rows(size, 2)

    return {
        "plain": list,
        "security_vectors": lambda: [vector(harmful, benign)],
        "ml_lr": lambda: [MLLR(modules=modules)],
        AGAIN: list,
        "swat moments=kept": lambda: [SWAT(modules=modules, warmup=1.0)],
        "swat moments=fresh": lambda: [SWAT(modules=modules, warmup=1.0, moments="fresh")],
        "panacea post-hoc": lambda: [panacea(harmful)],
        f"panacea in-loop every={EVERY}": lambda: [panacea(harmful, mode="in-loop", every=EVERY)],
    }


def turn(
    size: Size, kind: Kind, every: dict[str, Any], steps: int, first: int
) -> dict[str, tuple[float, float]]:
    """Return each variant's processor seconds of a step, and those of its hooks outside steps.

    Rounds begin at another variant each: who comes later in a process need not be as fast.
    """
    found: dict[str, tuple[float, float]] = {}
    order, first = [*every], first % len(every)
    for name in order[first:] + order[:first]:
        make = every[name]
        gc.collect()
        count = max(steps, EVERY + 1) if "in-loop" in name else steps
        start = time.process_time()
        clock, _ = run(size, kind, make(), count)
        whole, step = time.process_time() - start, clock.means()[1]
        found[name] = step, whole - count * step
    return found


def told(turns: list[dict[str, tuple[float, float]]]) -> dict[str, Any]:
    """Return the ratios' medians over rounds, their ends, and what runs come to."""
    rows: dict[str, Any] = {}
    for name in sorted(turns[0], key=lambda n: n != "plain"):
        ratios = [one[name][0] / one["plain"][0] for one in turns]
        spent = [one[name][1] - one["plain"][1] for one in turns]
        step = statistics.median(ratios)
        rows[name] = {
            "step_cpu_seconds": round(statistics.median(one[name][0] for one in turns), 4),
            "step_cpu_ratio": round(step, 3),
            "least_and_most": [round(min(ratios), 3), round(max(ratios), 3)],
        }
        plain = statistics.median(one["plain"][0] for one in turns)
        if name.startswith("panacea post-hoc"):
            whole = 1 + max(0.0, statistics.median(spent)) / (POST_HOC_STEPS * plain)
            rows[name][f"ratio_of_{POST_HOC_STEPS}_steps"] = round(whole, 3)
        if name.startswith("swat"):
            share = SWAT.warmup
            rows[name]["ratio_of_a_run"] = round(share * step + 1 - share, 3)
    return rows


def main() -> None:
    """Measure and print one JSON object."""
    parser = options(__doc__, steps="steps of a turn; the first warms up", threads=1)
    parser.add_argument("--kind", choices=KINDS, action="append", help="all four without it")
    parser.add_argument("--only", action="append", help="variants beside plain; all without it")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    size, began = Size(given.model, given.tokens, given.rows), time.monotonic()
    turns = _kept(given)
    with tempfile.TemporaryDirectory() as work:
        every = variants(size, Path(work))
        wanted = {"plain", AGAIN, *(given.only or every)}
        chosen = {name: make for name, make in every.items() if name in wanted}
        for _ in range(given.rounds):
            for kind in given.kind or KINDS:
                if any(turns.values()) and time.monotonic() - began > 60 * given.minutes:
                    break
                done = turns.setdefault(kind, [])
                done.append(turn(size, KINDS[kind], chosen, given.steps, len(done)))
                _write(given, turns)


def _setting(given: argparse.Namespace) -> dict[str, Any]:
    return {
        "model": model_name(given), "batch": BATCH, "tokens": given.tokens, "rows": given.rows,
        "steps": given.steps, "threads": given.threads, "robust": "the upper half of the layers",
        "command": "python -m measurements.engine_speed",
    }  # fmt: skip


def _kept(given: argparse.Namespace) -> dict[str, list[Any]]:
    """Return the rounds that the file has already, if they were run in the same setting."""
    if not given.out or not given.out.exists():
        return {}
    found = json.loads(given.out.read_text())
    if found["setting"] != _setting(given):
        raise SystemExit(f"{given.out} was measured in another setting: {found['setting']}")
    return {kind: found[kind]["turns"] for kind in KINDS if kind in found}


def _write(given: argparse.Namespace, turns: dict[str, list[Any]]) -> None:
    result: dict[str, Any] = {"benchmark": "engine_speed", "setting": _setting(given)}
    result["goals"] = GOALS
    for kind, done in turns.items():
        result[kind] = {"rounds": len(done), "variants": told(done), "turns": done}
    write(result, given.out)


if __name__ == "__main__":
    main()
