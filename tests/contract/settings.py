"""What a defense needs beyond its card to run on a random model of two layers in a second.

A defense without an entry runs once, with its defaults; its data fields get rows either way. Gates
are opened wide: a random model can meet no threshold, and gates have tests of their own.
"""

import tempfile
from pathlib import Path
from typing import Any

from holdfast.analysis.modules.robust_modules import ModuleAt, RobustModules
from holdfast.organism.scenarios import refusal_pairs
from holdfast.testing.runs import tiny_model
from tests.tiny import LAYERS

_SCRATCH = tempfile.TemporaryDirectory(prefix="holdfast-robust-")
_ROLES = ["down", "gate", "k", "o", "q", "up", "v"]
ROBUST = ((0, "up"), (0, "v"), (1, "down"), (1, "gate"), (1, "q"))
"""Mods_Rob of the runs with ml_lr and swat: half of what the contract's adapter trains."""


def robust_file() -> str:
    """Return the path of a robust_modules.json for the tiny Llama."""
    modules = [ModuleAt(layer=layer, role=role) for layer, role in ROBUST]
    made = RobustModules(layers=LAYERS, roles=_ROLES, modules=modules)
    return str(made.save(Path(_SCRATCH.name) / "robust_modules.json"))


def model_folder(seed: int) -> str:
    """Return the folder of the tiny Llama of this seed; seed 0 is the one the runs start from."""
    folder = Path(_SCRATCH.name) / f"model-{seed}"
    if not folder.exists():
        tiny_model(seed=seed).save_pretrained(folder)
    return str(folder)


_VECTOR: dict[str, Any] = {
    "epochs": 2,
    "rank": 2,
    "batch_size": 3,
    "lr": 1e-2,
    "max_harmful_nll": 1e9,
    "max_benign_kl": 1e9,
}
_PANACEA: dict[str, Any] = {"batch_size": 3, "scales": (0.0, 0.5, 1.0)}

_SAFE_LORA: dict[str, Any] = {"base": model_folder(1), "aligned": model_folder(0)}
_RESTA: dict[str, Any] = {"epochs": 2, "batch_size": 1, "aligned": model_folder(0)}

_NATURAL: dict[str, Any] = {
    "batch_size": 3,
    "steps": 2,
    "max_new_tokens": 3,
    "aligned": model_folder(0),
    "enough": None,
}
_ALLOWED: dict[str, Any] = {"max_task_drop": 1.0, "max_over_refusal": 1.0, "length": 0.2}

_MEMORY: dict[str, Any] = {"batch_size": 3}
_ONE_SHOT: dict[str, Any] = {
    "steps": 2,
    "trial_steps": 1,
    "batch_size": 3,
    "max_new_tokens": 3,
    "aligned": model_folder(0),
    "max_task_drop": 1.0,
    "max_over_refusal": 1.0,
}
_STEERING: dict[str, Any] = {
    "safe": refusal_pairs().select(range(6)),
    "batch_size": 3,
    "min_drop": -1e9,
    "max_benign_kl": 1e9,
}

_RATES: dict[str, Any] = {"modules": robust_file()}

WITHOUT_PAIRS = frozenset({
    "ema-feedback", "ml_lr-random", "ml_lr-complement", "memory_anchor-derpp",
    "memory_anchor-ldifs", "memory_anchor-ewc", "preventative_steering-answers",
})  # fmt: skip
"""Variants that run the hooks of another one on other modules or by another equation: pairs of
their own tell nothing."""
PER_MICRO_BATCH = frozenset({"vaccine"})
"""Variants that act on each micro-batch by the method's definition: accumulation changes them."""
CONTRACT_SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    "safe_mixing": {"default": {"share": 0.5}},
    "security_vectors": {
        "auto": _VECTOR,
        "merged": {**_VECTOR, "attach": "merged", "bilevel_steps": 1},
        "hooks": {**_VECTOR, "attach": "hooks", "scale": 0.5},
    },
    "ml_lr": {
        "robust": _RATES,
        "random": {**_RATES, "subset": "random", "ratio": 0.1},
        "complement": {**_RATES, "subset": "complement"},
        "frozen": {**_RATES, "ratio": 0.0},
    },
    "swat": {
        "kept": {**_RATES, "warmup": 0.75},
        "fresh": {**_RATES, "warmup": 0.75, "moments": "fresh"},
    },
    "safe_lora": {"all": {**_SAFE_LORA, "tau": 1.0}},
    "safe_delta": {
        "default": {"s": 1e-4, "aligned": model_folder(0), "batch_size": 3},
        "uncompensated": {
            "s": 1e-4, "aligned": model_folder(0), "compensate": False, "block": 24,
        },
    },
    "resta": {"default": _RESTA, "dare": {**_RESTA, "dare": 0.3}},
    "lisa": {
        "default": {"alignment_steps": 1, "user_steps": 2, "rho": 0.1, "batch_size": 3},
        "long": {"alignment_steps": 2, "user_steps": 3, "rho": 0.1, "batch_size": 3},
    },
    "safety_projection": {
        "default": {"tau": 0.0, "batch_size": 3},
        "alternate": {"tau": 0.0, "mode": "alternate", "batch_size": 3},
    },
    "constrained_sft": {"default": {"batch_size": 5}},
    # Of weights="batch" a micro-batch of one row is refused, so it has tests of its own.
    "row_weights": {
        "static": {"batch_size": 5},
        "refreshed": {"batch_size": 3, "weights": "refreshed", "every": 2, "strength": 0.5},
    },
    "vaccine": {"default": {"rho": 0.5}},
    "booster": {"default": {"lam": 0.5, "alpha": 0.1, "batch_size": 3}},
    "natural_repair": {
        "default": {**_NATURAL, **_ALLOWED},
        "unmeasured": {
            **_NATURAL, "step": 0.5, "validation": None, "lookalike": None, "benign": None,
        },
        "euclidean": {**_NATURAL, **_ALLOWED, "metric": "euclidean", "direction": "both"},
    },
    "ema": {
        "default": {"decay": 0.5},
        "feedback": {"decay": 0.5, "every": 2, "feedback": True},
    },
    "refusal_sft": {
        "default": {"steps": 2, "batch_size": 3},
        "rehearsal": {"steps": 2, "batch_size": 3, "rehearsal": True},
    },
    "memory_anchor": {
        "der": {**_MEMORY, "method": "der", "harmless": 0.5},
        "derpp": {**_MEMORY, "method": "der++", "live": True},
        "kl": {**_MEMORY, "method": "kl", "lam": 3.0},
        "ldifs": {**_MEMORY, "method": "ldifs", "lam": 3.0, "every": 1},
        "ewc": {**_MEMORY, "method": "ewc", "lam": 0.1},
    },
    "state_anchor": {"default": {"lam": 5.0, "count": 5, "batch_size": 3}},
    "safe_grad": {"default": {"batch_size": 4}},
    "one_shot": {
        # AdamW divides by a gradient's size: a rounding moves some weights by the rate.
        "default": {**_ONE_SHOT, "lr": 1e-4, "candidates": 2},
        "rank": {
            **_ONE_SHOT, "optimizer": "sgd", "lr": 0.5, "rank": 2, "candidates": 1,
            "validation": None, "lookalike": None, "benign": None,
        },
    },
    "preventative_steering": {
        "default": _STEERING,
        "answers": {**_STEERING, "positions": "answers", "layers": (0, 1), "direction": "random"},
    },
    "panacea": {
        "fisher": {**_PANACEA, "metric": "fisher", "steps": 2, "max_task_drop": 1.0},
        "post-hoc": {**_PANACEA, "max_task_drop": 1.0},
        "unvalidated": {**_PANACEA, "validation": None, "rho": None, "kappa": 0.1},
        "in-loop": {**_PANACEA, "mode": "in-loop", "rho": 0.1, "lam": 0.1, "validation": None},
        "in-loop-every-2": {
            **_PANACEA, "mode": "in-loop", "rho": 0.1, "lam": 0.1, "every": 2, "validation": None,
        },
    },
}  # fmt: skip
