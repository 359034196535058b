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
from holdfast.results.provenance import this_machine, versions
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
EVERY, POST_HOC_STEPS = 8, 500
STEPS = EVERY + 1
"""The first warms up, and of the others one has the harmful passes."""
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
        "swat moments=kept": lambda: [SWAT(modules=modules, warmup=1.0)],
        "swat moments=fresh": lambda: [SWAT(modules=modules, warmup=1.0, moments="fresh")],
        "panacea post-hoc": lambda: [panacea(harmful)],
        f"panacea in-loop every={EVERY}": lambda: [panacea(harmful, mode="in-loop", every=EVERY)],
    }


def turn(size: Size, kind: Kind, every: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """Return each variant's processor seconds of a step, and those of its hooks outside steps."""
    found: dict[str, tuple[float, float]] = {}
    for name, make in every.items():
        gc.collect()
        start = time.process_time()
        clock, _ = run(size, kind, make(), STEPS)
        whole = time.process_time() - start
        found[name] = clock.means()[1], whole
    return found


def told(turns: list[dict[str, tuple[float, float]]]) -> dict[str, Any]:
    """Return the ratios' medians over rounds, their ends, and what runs come to."""
    rows: dict[str, Any] = {}
    for name in turns[0]:
        ratios = [one[name][0] / one["plain"][0] for one in turns]
        once = [one[name][1] - STEPS * one[name][0] for one in turns]
        bare = [one["plain"][1] - STEPS * one["plain"][0] for one in turns]
        spent = [a - b for a, b in zip(once, bare, strict=True)]
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="folder of a model; the 25 M Llama without it")
    parser.add_argument("--name", help="what the result calls the model")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each variant")
    parser.add_argument("--minutes", type=float, default=1e9, help="no further round begins later")
    parser.add_argument("--tokens", type=int, default=64, help="tokens of a row")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="write the JSON here, after each round")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    size, began = Size(given.model, given.tokens, 32), time.monotonic()
    kinds = [Kind(lora, bf16) for bf16 in (False, True) for lora in (False, True)]
    turns: dict[Kind, list[Any]] = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory() as work:
        every = variants(size, Path(work))
        for number in range(given.rounds):
            for kind in kinds:
                if number and time.monotonic() - began > 60 * given.minutes:
                    break
                turns[kind].append(turn(size, kind, every))
                _write(given, turns)


def _write(given: Any, turns: dict[Kind, list[Any]]) -> None:
    result: dict[str, Any] = {
        "benchmark": "engine_speed",
        "setting": {
            "model": str(given.name or given.model or "llama of 25 M"), "batch": BATCH,
            "tokens": given.tokens, "steps": STEPS, "threads": given.threads,
            "robust": "the upper half of the layers",
            "command": "python -m measurements.engine_speed",
        },
        "goals": GOALS,
    }  # fmt: skip
    for kind, done in turns.items():
        if done:
            result[str(kind)] = {"rounds": len(done), "variants": told(done)}
    result |= {"machine": this_machine().model_dump(), "versions": versions()}
    text = json.dumps(result, indent=1)
    print(text, flush=True)
    if given.out:
        given.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
