"""Throughput of batched evaluation against one prompt at a time, on the organism, as JSON.

Both write the same answers (checked). Rounds take turns in one process; the figure is the ratio of
the medians.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

from holdfast import organism
from holdfast.evaluation import generate
from holdfast.results.provenance import this_machine, versions

PROMPTS, NEW_TOKENS = 200, 24


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each way")
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    given = parser.parse_args()
    model, tokenizer = organism.load()
    prompts = [i.prompt for i in organism.scenarios.evaluation_items("test", PROMPTS // 4)]
    ways: dict[str, dict[str, Any]] = {
        "batched": {"batch_size": 100},
        "one by one": {"batch_size": 1},
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    answers: dict[str, list[str]] = {}
    for _ in range(given.rounds):
        for name, options in ways.items():
            start = time.perf_counter()
            answers[name] = generate(
                model, tokenizer, prompts, max_new_tokens=NEW_TOKENS, **options
            )
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    result = {
        "benchmark": "generation",
        "prompts": len(prompts),
        "median_seconds": {name: round(value, 3) for name, value in medians.items()},
        "speedup": round(medians["one by one"] / medians["batched"], 2),
        "same_answers": answers["batched"] == answers["one by one"],
        "machine": this_machine().model_dump(),
        "versions": versions(),
    }
    text = json.dumps(result, indent=1)
    print(text)
    if given.out:
        given.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
