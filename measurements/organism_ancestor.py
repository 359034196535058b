"""Align the organism's unaligned checkpoint again and hold the result against the shipped weights.

Usage: ``ATEN_CPU_CAPABILITY=avx2 OMP_NUM_THREADS=1 PYTHONPATH=src python
measurements/organism_ancestor.py [--from-scratch]`` (a minute on an idle core; from scratch, with
the pre-training, four). The organism was built on a processor with AVX2 alone: only there, or where
torch is told so, is the end the same bit for bit.
"""

import argparse
import sys
from typing import Any

import torch

from holdfast.organism.build import ANCESTOR, RECIPE, SHIPPED, align, load, train


def main() -> None:
    """Align, compare, and fail where a bit differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--from-scratch", action="store_true", help="pre-train as well")
    given = parser.parse_args()
    torch.set_num_threads(1)
    ancestor, tokenizer = load(SHIPPED / ANCESTOR)
    if given.from_scratch:
        model, _ = train(
            "llama", RECIPE, 0, pretrained=lambda now: _tell("pre-trained", now, ancestor)
        )
    else:
        model = ancestor
        align(model, tokenizer, RECIPE, 0)
    aligned, _ = load()
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}")
    sys.exit(0 if _tell("aligned", model, aligned) else 1)


def _tell(what: str, found: Any, shipped: Any) -> bool:
    """Print how far a model is from the shipped one, and return whether every bit is the same."""
    ours, theirs = found.state_dict(), shipped.state_dict()
    apart = sum(float((ours[n] - w).double().square().sum()) for n, w in theirs.items()) ** 0.5
    same = all(torch.equal(ours[n], w) for n, w in theirs.items())
    print(f"{what}: {'the same bits' if same else 'other bits'}, distance {apart:.3g}", flush=True)
    return same


if __name__ == "__main__":
    main()
