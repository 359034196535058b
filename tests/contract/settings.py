"""What a defense needs beyond its card to run on a random model of two layers in a second.

A defense without an entry runs once, with its defaults; its data fields get rows either way. Gates
are opened wide: a random model can meet no threshold, and gates have tests of their own.
"""

from typing import Any

_VECTOR: dict[str, Any] = {
    "epochs": 2,
    "rank": 2,
    "batch_size": 3,
    "lr": 1e-2,
    "max_harmful_nll": 1e9,
    "max_benign_kl": 1e9,
}
_PANACEA: dict[str, Any] = {"batch_size": 3, "scales": (0.0, 0.5, 1.0)}

CONTRACT_SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    "safe_mixing": {"default": {"share": 0.5}},
    "security_vectors": {
        "auto": _VECTOR,
        "merged": {**_VECTOR, "attach": "merged", "bilevel_steps": 1},
        "hooks": {**_VECTOR, "attach": "hooks", "scale": 0.5},
    },
    "panacea": {
        "post-hoc": {**_PANACEA, "max_task_drop": 1.0},
        "unvalidated": {**_PANACEA, "validation": None, "rho": None, "kappa": 0.1},
        "in-loop": {**_PANACEA, "mode": "in-loop", "rho": 0.1, "lam": 0.1, "validation": None},
        "in-loop-every-2": {
            **_PANACEA, "mode": "in-loop", "rho": 0.1, "lam": 0.1, "every": 2, "validation": None,
        },
    },
}  # fmt: skip
