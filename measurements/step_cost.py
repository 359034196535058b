"""Cost of each defense against plain fine-tuning: time per step and memory, as JSON.

A model is tuned with all its weights and with LoRA, in float32 and, with ``--model DIR``, in
bfloat16 too: a Llama of about 25 M parameters, or a real one. Variants take turns in one process, a
few steps each, round after round, so that a slow minute of the machine hits all of them; figures
are ratios of medians over turns, by the processor's time (of all threads) and by the clock. A round
of its own counts the bytes that live at the peak of a whole run, of which plain's are taken off.
"""

import argparse
import gc
import statistics
import time
from collections.abc import Collection
from typing import Any

import torch

from holdfast import SecureTrainer
from measurements.cost_options import model_name, options, write
from measurements.cost_variants import BATCH, Kind, Size, model, run, variants
from measurements.live_bytes import live_bytes

RUN_STEPS, GIB = 200, 2**30
AIMS = {"panacea post-hoc": 2.2, "panacea in-loop every=1": 3.2}
"""Memory over plain, in copies of what is trained, where all weights are."""


def outside_steps(trainer: SecureTrainer) -> float:
    """Return the seconds of the hooks that run once, before or after the steps."""
    once = {"data", "before", "attached", "after"}
    return sum(float(r["seconds"]) for r in trainer.trace.rows() if r["hook"] in once)


def memory(size: Size, kind: Kind, only: Collection[str] = ()) -> dict[str, Any]:
    """Return each variant's bytes over plain's at the peak of a run, in what is trained and GiB."""
    peaks: dict[str, int] = {}
    trained = base = 0
    chosen = {name: make for name, make in variants(size).items() if not only or name in only}
    model(size, kind)  # Read before anything is counted, or it would count as the first variant's.
    for name, make in chosen.items():
        gc.collect()
        with live_bytes() as live:
            _, trainer = run(size, kind, make(), 2)
        peaks[name] = live.peak
        tuned: Any = trainer.model
        parameters = [*tuned.parameters()]
        trained = sum(p.nbytes for p in parameters if p.requires_grad)
        base = sum(p.nbytes for p in parameters) - (trained if kind.lora else 0)
        del trainer, tuned, parameters  # Or two models are in memory in the next turn.
    extra = {name: peak - peaks["plain"] for name, peak in peaks.items()}
    return {
        "trained_mib": round(trained / 2**20, 1),
        "peak_gib": {n: round(p / GIB, 3) for n, p in peaks.items()},
        "extra_in_trained": {n: round(e / trained, 2) for n, e in extra.items()},
        "extra_in_base": {n: round(e / base, 3) for n, e in extra.items()},
    }


def turn(size: Size, kind: Kind, steps: int) -> dict[str, tuple[float, float, float]]:
    """Return each variant's (seconds, processor seconds) of a step, and seconds outside steps."""
    found: dict[str, tuple[float, float, float]] = {}
    for name, make in variants(size).items():
        gc.collect()
        clock, trainer = run(size, kind, make(), steps)
        found[name] = (*clock.means(), outside_steps(trainer))
        del trainer
    return found


def told(turns: list[dict[str, tuple[float, float, float]]]) -> dict[str, dict[str, float]]:
    """Return each variant's medians over turns, and their ratios to plain."""
    middle = {
        name: [statistics.median(t[name][n] for t in turns) for n in range(3)] for name in turns[0]
    }
    clock, used, _ = middle["plain"]
    return {
        name: {
            "step_seconds": round(mine[0], 4),
            "step_ratio": round(mine[0] / clock, 3),
            "step_cpu_seconds": round(mine[1], 4),
            "step_cpu_ratio": round(mine[1] / used, 3),
            "once_seconds": round(mine[2], 3),
            f"ratio_of_{RUN_STEPS}_steps": round(
                mine[0] / clock + mine[2] / (RUN_STEPS * clock), 3
            ),
        }
        for name, mine in middle.items()
    }


def main() -> None:
    """Measure and print one JSON object."""
    given = _given()
    torch.set_num_threads(given.threads)
    size = Size(given.model, given.tokens, given.rows)
    precisions = (False, True) if given.model else (False,)
    kinds = [Kind(lora, bf16) for lora in (False, True) for bf16 in precisions]
    began = time.perf_counter()
    result: dict[str, Any] = {
        "benchmark": "step_cost",
        "setting": {
            "model": model_name(given), "batch": BATCH,
            "tokens": size.tokens, "rows": size.rows, "steps": given.steps,
            "threads": given.threads,
        },
    }  # fmt: skip
    for kind in kinds:
        result[str(kind)] = memory(size, kind)
    turns: dict[Kind, list[Any]] = {kind: [] for kind in kinds}
    longest = 0.0
    # A round is begun only where it ends in time; one at least is run.
    while len(turns[kinds[0]]) < given.rounds:
        start = time.perf_counter()
        if turns[kinds[0]] and start - began + longest > 60 * given.minutes:
            break
        for kind in kinds:
            turns[kind].append(turn(size, kind, given.steps))
        longest = max(longest, time.perf_counter() - start)
    for kind in kinds:
        result[str(kind)] |= {"variants": told(turns[kind])}
    result["setting"]["rounds"] = len(turns[kinds[0]])
    result["aims"] = {"extra_in_trained": AIMS, "met": _met(result)}
    write(result, given.out)


def _met(result: dict[str, Any]) -> bool:
    found = [r["extra_in_trained"] for name, r in result.items() if name.startswith("full")]
    return all(extra[name] <= most for extra in found for name, most in AIMS.items())


def _given() -> argparse.Namespace:
    steps = "steps of each turn, 4 k + 1"
    return options(__doc__, steps=steps, threads=torch.get_num_threads()).parse_args()


if __name__ == "__main__":
    main()
