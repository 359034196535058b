"""Cost of the module robustness analysis, and how well its first-order estimate ranks, as JSON.

On two trained organisms (the shipped Llama, and one of another architecture that is built into a
folder once, about four minutes):

- Spearman between the estimate of one backward pass and exact noise on one module at a time, for
  the root-mean-square logit change that it estimates, and for drift and the mean logit beside it;
- seconds and decoder-layer passes of the exact analysis, by whole passes of the model (naive) and
  from what enters each layer (cached), and of the estimate. Variants take turns, round after
  round, so that a slow minute of the machine hits all of them; the figures are medians.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from scipy.stats import spearmanr

from holdfast import organism
from holdfast.analysis.modules.first_order import first_order
from holdfast.analysis.modules.perturbation import Damage, Probed, noise, pooled
from holdfast.analysis.modules.robustness import calibrated_rho, exact
from holdfast.analysis.pipeline import AnalysisSettings, probed_model
from holdfast.analysis.probing.prompts import Prompts, with_tokenizer
from holdfast.ops.modules import ModuleRef
from holdfast.organism import scenarios
from holdfast.organism.vocabulary import build_tokenizer
from holdfast.results.provenance import this_machine, versions

RHOS, SEEDS, PROMPTS = (0.1, 0.3, 0.6), 6, 125
MANY = 48
"""Draws after which exact noise ranks like itself; one draw is one random direction a module."""
AIMS = {"spearman": 0.9, "gradient_of_naive": 1 / 50, "cached_of_naive": 0.6}
Scores = dict[ModuleRef, list[Damage]]


def organisms(folder: Path, other: str) -> dict[str, Any]:
    """Return (model, tokenizer) by architecture; the other one is built where it is missing."""
    built = folder / other
    if not built.exists():
        sys.stderr.write(f"building the {other} organism in {built}\n")
        organism.build(other, built)
    # transformers 5 reads the tokenizer in a Qwen2 folder as Qwen2's own, whatever it is; every
    # organism has the same one.
    models = {"llama": organism.load()[0], other: organism.load(built)[0]}
    return {arch: (model, build_tokenizer()) for arch, model in models.items()}


def probed(model: Any, tokenizer: Any, *, cached: bool) -> Probed:
    """Return the model with a probe of the defender's harmful and harmless prompts."""
    rows = scenarios.defender_pairs(PROMPTS, 0), scenarios.harmless_prompts(PROMPTS, 0)
    prompts = Prompts.checked(with_tokenizer(tokenizer), *rows)
    return probed_model(model, prompts, replace(AnalysisSettings(), cached=cached))


def rank_correlations(
    found: Probed, seeds: list[int], rhos: Sequence[float] = RHOS
) -> dict[str, dict[str, float]]:
    """Return by rho the Spearman of the estimate with each score of exact noise."""
    table: dict[str, dict[str, float]] = {}
    for rho in rhos:
        estimate = first_order(found, rho)
        damages = exact(found, noise(found.modules, rho), seeds)
        table[str(rho)] = {
            name: round(_spearman(estimate, damages, score), 3) for name, score in SCORES.items()
        } | {"between_halves_of_the_seeds": round(_halves(damages), 3)}
    return table


SCORES: dict[str, Callable[[list[Damage]], float]] = {
    "logit": lambda draws: pooled(draws, "logit"),
    "mean_logit": lambda draws: abs(pooled(draws, "mean_logit")),
    "drift": lambda draws: pooled(draws, "drift"),
}


def _spearman(
    estimate: dict[ModuleRef, float], damages: Scores, score: Callable[[list[Damage]], float]
) -> float:
    return _ranks([(estimate[ref], score(draws)) for ref, draws in damages.items()])


def _halves(damages: Scores) -> float:
    """Return how well exact noise of some seeds ranks as that of the others: what can be hoped."""
    half = len(next(iter(damages.values()))) // 2
    return _ranks(
        [(pooled(d[:half], "logit"), pooled(d[half:], "logit")) for d in damages.values()]
    )


def _ranks(pairs: list[tuple[float, float]]) -> float:
    found: Any = spearmanr(pairs)
    return float(found.statistic)


@contextmanager
def passes(found: Probed) -> Generator[list[int]]:
    """Count the prompts that go through a decoder layer while the body runs."""
    count = [0]

    def add(_module: Any, args: Any, options: Any) -> None:
        count[0] += len(args[0] if args else options["hidden_states"])

    with ExitStack() as stack:
        for layer in found.suffix.layers:
            handle = layer.register_forward_pre_hook(add, with_kwargs=True)
            stack.callback(handle.remove)
        yield count


def timed(turn: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    turn()
    return time.perf_counter() - start


def cost(model: Any, tokenizer: Any, rounds: int, seeds: list[int]) -> dict[str, Any]:
    """Return seconds and layer passes of the variants; a turn of the exact ones is one seed."""
    naive = probed(model, tokenizer, cached=False)
    cached = probed(model, tokenizer, cached=True)
    rho = calibrated_rho(cached, seeds[0])
    change = noise(cached.modules, rho)
    turns: dict[str, Callable[[int], object]] = {
        "naive": lambda n: exact(naive, change, [seeds[n % len(seeds)]]),
        "cached": lambda n: exact(cached, change, [seeds[n % len(seeds)]]),
        "gradient": lambda _: first_order(cached, rho),
    }
    # Every variant scores all modules; the exact ones do it once for each seed.
    times = {"naive": len(seeds), "cached": len(seeds), "gradient": 1}
    counts: dict[str, int] = {}
    for name, turn in turns.items():  # This round counts and warms up; it is not timed.
        with passes(cached) as count:
            turn(0)
        counts[name] = count[0] * times[name]
    same = exact(naive, change, seeds[:1]) == exact(cached, change, seeds[:1])
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for number in range(rounds):
        for name, turn in turns.items():
            seconds[name].append(timed(lambda t=turn, n=number: t(n)))
    middle = {name: times[name] * statistics.median(s) for name, s in seconds.items()}
    return {
        "rho": rho,
        "modules": len(cached.modules),
        "cached_equals_naive_bit_for_bit": same,
        "seconds": {name: round(s, 3) for name, s in middle.items()},
        "prompts_through_layers": counts,
        "cached_of_naive": round(middle["cached"] / middle["naive"], 3),
        "cached_of_naive_in_layers": round(counts["cached"] / counts["naive"], 3),
        "gradient_of_naive": round(middle["gradient"] / middle["naive"], 5),
        "gradient_of_naive_in_layers": round(counts["gradient"] / counts["naive"], 5),
    }


def met(result: dict[str, Any]) -> dict[str, bool]:
    """Tell which aims every organism meets."""
    rows = result["organisms"].values()
    ranks = [table["logit"] for row in rows for table in row["spearman"].values()]
    return {
        "spearman": min(ranks) >= AIMS["spearman"],
        **{n: max(r["cost"][n] for r in rows) <= AIMS[n] for n in AIMS if n != "spearman"},
    }


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="turns of each variant")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="draws of the noise")
    parser.add_argument("--other", default="qwen2", help="architecture beside llama")
    parser.add_argument(
        "--organisms", type=Path, default=Path("organisms"),
        help="folder that the other organism is built into, once",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    given = parser.parse_args()
    torch.set_num_threads(1)
    seeds, many = (AnalysisSettings(method="noise", seeds=n).draws for n in (given.seeds, MANY))
    result: dict[str, Any] = {
        "benchmark": "analysis_cost",
        "setting": {
            "prompts_of_each_class": PROMPTS, "rhos": RHOS, "seeds": given.seeds,
            "rounds": given.rounds,
        },
        "organisms": {},
    }  # fmt: skip
    for arch, (model, tokenizer) in organisms(given.organisms, given.other).items():
        found = probed(model, tokenizer, cached=True)
        result["organisms"][arch] = {
            "probe": found.probe.quality["held_out"].model_dump(),
            "spearman": rank_correlations(found, seeds),
            f"spearman_of_{MANY}_seeds": rank_correlations(found, many, RHOS[1:2]),
            "cost": cost(model, tokenizer, given.rounds, seeds),
        }
    result |= {"aims": AIMS, "met": met(result)}
    result |= {"machine": this_machine().model_dump(), "versions": versions()}
    text = json.dumps(result, indent=1)
    print(text)
    if given.out:
        given.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
