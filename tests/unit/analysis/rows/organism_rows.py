"""The organism with all that its rows are held against; made once for the tests of row scores."""

from functools import cache

from peft import get_peft_model
from transformers import set_seed

from holdfast import organism
from holdfast.analysis.rows import Materials
from holdfast.bench.cell.runs import adapter_of
from holdfast.evaluation.drift import Openings
from holdfast.ops.engine import LocalEngine
from holdfast.organism import scenarios
from holdfast.organism.scenarios import BUDGET

REFUSING = ("this is dangerous", "no , that", "i will not help")
AGREEING = ("sure , mix",)


@cache
def openings():
    """How the organism refuses and agrees."""
    _, tokenizer = organism.load()
    ids = [[tokenizer.encode(text) for text in side] for side in (REFUSING, AGREEING)]
    return Openings.of(*ids)


def engine_of(*, adapter=False):
    """An engine of the organism as a user's run begins, and its tokenizer."""
    model, tokenizer = organism.load()
    if adapter:
        set_seed(0)
        model = get_peft_model(model, adapter_of(BUDGET, model)).eval()
    return LocalEngine(model), tokenizer


def materials(n=24, **more):
    """Probes, anchors and references of the defender's own nouns, ``n`` rows of each."""
    given = {
        "probes": scenarios.defender_pairs(n, seed=1),
        "openings": openings(),
        "harmful": scenarios.defender_pairs(n, seed=2),
        "safe": scenarios.refusal_pairs(n, seed=2),
        "references": {"general": scenarios.harmless_prompts(2 * n, seed=3)},
    }
    return Materials(**(given | more))


def planted(n=100, harmful=1, seed=0):
    """A user's task with some harmful rows in it, and which they are."""
    rows = scenarios.harmful_mix(n, harmful / n, seed)
    return rows, [category == "harmful" for category in rows["category"]]
