"""What a robustness map of a real model costs by gradients, against noise on one module at a time.

The map by gradients is made in full. The naive one takes hours: a pass over all prompts for each
module and seed, whichever module it is. So it is timed on some modules, one of each role with its
layers spread over the model, and that mean is taken times modules × seeds. By the processor's time.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from holdfast.analysis.modules.first_order import first_order
from holdfast.analysis.modules.perturbation import noise
from holdfast.analysis.pipeline import AnalysisSettings, probed_model
from holdfast.analysis.probing.prompts import Prompts, with_tokenizer
from holdfast.ops.modules import ModuleRef
from holdfast.organism import scenarios
from measurements.cost_options import write

GOAL, RHO, SEEDS = 1 / 100, 0.3, 6


def sample(modules: list[ModuleRef]) -> list[ModuleRef]:
    """Return one module of each role, each from a layer further up."""
    roles = list(dict.fromkeys(ref.role for ref in modules))
    layers = sorted({ref.layer for ref in modules})
    wanted = {
        (layers[number * (len(layers) - 1) // max(1, len(roles) - 1)], role)
        for number, role in enumerate(roles)
    }
    return [ref for ref in modules if (ref.layer, ref.role) in wanted]


def used(act: Callable[[], object]) -> float:
    """Return the processor's seconds that a call takes."""
    start = time.process_time()
    act()
    return time.process_time() - start


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder of a model")
    parser.add_argument("--name", help="what the result calls the model")
    parser.add_argument("--prompts", type=int, default=25, help="prompts of each class")
    parser.add_argument("--rounds", type=int, default=2, help="maps by gradients, and samples")
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    given = parser.parse_args()
    torch.set_num_threads(1)
    model: Any = AutoModelForCausalLM.from_pretrained(given.model, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(given.model)
    rows = (
        make(given.prompts, 0) for make in (scenarios.defender_pairs, scenarios.harmless_prompts)
    )
    prompts = Prompts.checked(with_tokenizer(tokenizer), *rows)
    found = probed_model(model.eval(), prompts, replace(AnalysisSettings(), cached=False))
    chosen, change = sample([*found.modules]), noise(found.modules, RHO)
    gradient, naive = [], []
    for _ in range(given.rounds):
        gradient.append(used(lambda: first_order(found, RHO)))
        naive += [used(lambda ref=ref: found.damage(change, [ref], 0)) for ref in chosen]
    one, count = statistics.median(naive), len(found.modules) * SEEDS
    ratio = statistics.median(gradient) / (one * count)
    result = {
        "benchmark": "map_cost",
        "setting": {
            "model": str(given.name or given.model), "prompts_of_each_class": given.prompts,
            "modules": len(found.modules), "seeds": SEEDS, "rounds": given.rounds,
            "command": "python -m measurements.map_cost",
        },
        "gradient_cpu_seconds": [round(seconds, 2) for seconds in gradient],
        "naive_cpu_seconds_of_a_module": {
            "modules": [ref.name for ref in chosen], "median": round(one, 2),
            "least_and_most": [round(min(naive), 2), round(max(naive), 2)],
        },
        "naive_cpu_seconds_told_from_them": round(one * count, 1),
        "gradient_of_naive": round(ratio, 5),
        "goal": GOAL, "met": ratio <= GOAL,
    }  # fmt: skip
    write(result, given.out)


if __name__ == "__main__":
    main()
