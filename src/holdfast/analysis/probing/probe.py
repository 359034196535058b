r"""The security feature classifier: harmful against benign prompts (arXiv 2410.04524).

.. math:: p(\text{harmful}\mid x)=\sigma\!\left(w^\top z(x)+b\right),\qquad
          z(x)=\frac{h(x)-\mu}{s}

with h(x) of shape (hidden,): the output of the last decoder layer at the last token of the
chat-templated prompt, generation prompt appended. The paper says: a linear layer and a sigmoid on
the last layer's embedding, trained once. Logistic regression, the standardized features, the token
and the splits are ours. The classifier is never trained again after a perturbation.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from torch import Tensor

from holdfast.errors import DataError, InputError
from holdfast.files.guarded.documents import json_in
from holdfast.files.whole import write_whole
from holdfast.ops.randomness import derived_seed

__all__ = ["BLIND", "Probe", "ProbeSettings", "Quality", "fit_probe", "quality"]

BLIND = 0.8
"""Balanced accuracy below which the classifier is called blind; ours."""


@dataclass(frozen=True)
class ProbeSettings:
    """How the classifier is trained; all of it is ours."""

    held_out: float = 0.25
    """Share of the prompts of each class that tests the classifier, in (0, 1)."""
    inverse_penalty: float = 1.0
    """scikit-learn's C: the inverse of the L2 penalty."""
    seed: int = 0
    """Seed of the split and of the balancing."""


class Quality(BaseModel):
    """How well the classifier tells the classes apart on one set of prompts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    harmful: int
    benign: int
    accuracy_harmful: float
    """Share of harmful prompts called harmful. It looks perfect where everything is."""
    balanced_accuracy: float
    auroc: float
    mean_logit_harmful: float
    mean_logit_benign: float


@dataclass(frozen=True)
class Probe:
    """A trained classifier and what it is worth."""

    weight: Tensor
    """w, shape (hidden,)."""
    bias: float
    mean: Tensor
    """μ, shape (hidden,)."""
    scale: Tensor
    """s, shape (hidden,), positive."""
    quality: dict[str, Quality]
    """By set of prompts: ``train``, ``held_out``, and ``out_of_domain`` where it was given."""

    def features(self, states: Tensor) -> Tensor:
        """Return z, shape (prompts, hidden)."""
        return (states - self.mean) / self.scale

    def logits(self, states: Tensor) -> Tensor:
        """Return the logits, shape (prompts,); above 0 is called harmful."""
        return self.features(states) @ self.weight + self.bias

    @property
    def warnings(self) -> list[str]:
        """What makes a robustness map of this classifier doubtful."""
        return [
            f"the security probe is blind: balanced accuracy {q.balanced_accuracy:.2f} on "
            f"{name.replace('_', ' ')} prompts, expected {BLIND} or more; a robustness map made "
            "with it means little: give more, clearer or more varied prompts"
            for name, q in self.quality.items()
            if name != "train" and q.balanced_accuracy < BLIND
        ]

    def save(self, folder: str | Path) -> Path:
        """Write ``probe.json`` and ``probe.safetensors`` and return the first one's path.

        Raises:
            RunError: The folder cannot be written.
        """
        path = Path(folder) / "probe.json"
        found = {name: one.model_dump() for name, one in self.quality.items()}
        write_whole(path, json.dumps({"bias": self.bias, "quality": found}, indent=1) + "\n")
        tensors = {"weight": self.weight, "mean": self.mean, "scale": self.scale}
        save_file(tensors, path.with_name("probe.safetensors"))
        return path

    @classmethod
    def load(cls, folder: str | Path) -> "Probe":
        """Read what ``save`` wrote.

        Raises:
            InputError: A file is missing or holds something else.
        """
        source = Path(folder)
        try:
            document = json_in(source / "probe.json")
            tensors = load_file(source / "probe.safetensors")
            found = {name: Quality(**q) for name, q in document["quality"].items()}
            parts = (tensors["weight"], float(document["bias"]), tensors["mean"], tensors["scale"])
            if {t.shape for t in tensors.values()} != {parts[0].shape} or parts[0].ndim != 1:
                raise ValueError("its tensors have different shapes")
        except (
            OSError, LookupError, AttributeError, TypeError, ValueError, SafetensorError
        ) as error:  # fmt: skip
            raise InputError(
                f"{source}: holds no security probe that can be read ({error}); expected "
                "probe.json and probe.safetensors of one `holdfast analyze`"
            ) from error
        return cls(*parts, found)


def fit_probe(
    harmful: Tensor,
    benign: Tensor,
    settings: ProbeSettings | None = None,
    out_of_domain: tuple[Tensor, Tensor] | None = None,
) -> Probe:
    """Train the classifier on a balanced share of the states and test it on the rest.

    Args:
        harmful: States of harmful prompts, shape (n, hidden), none repeated.
        benign: States of benign prompts, shape (m, hidden).
        settings: The split and the penalty.
        out_of_domain: (harmful, benign) states of other kinds of prompts, only tested on.

    Raises:
        InputError: ``held_out`` is out of range.
        DataError: A class has fewer than four prompts (out of domain: none), or a state is not
            finite.
    """
    chosen = settings or ProbeSettings()
    if not 0 < chosen.held_out < 1:
        raise InputError(f"held_out={chosen.held_out!r} must lie between 0 and 1")
    _check_states({"harmful": harmful, "benign": benign}, least=4)  # Two to train on, two to test.
    if out_of_domain is not None:
        names = ("out-of-domain harmful", "out-of-domain benign")
        _check_states(dict(zip(names, out_of_domain, strict=True)), least=1)
    size = min(len(harmful), len(benign))
    left, left_test = _split(harmful, size, chosen, "harmful")
    right, right_test = _split(benign, size, chosen, "benign")
    train = torch.cat([left, right])
    mean, scale = train.mean(0), train.std(0).clamp(min=1e-6)
    weight, bias = _fit((train - mean) / scale, len(left), chosen.inverse_penalty)
    bare = Probe(weight, bias, mean, scale, {})
    tests = {"train": (left, right), "held_out": (left_test, right_test)}
    tests |= {} if out_of_domain is None else {"out_of_domain": out_of_domain}
    found = {name: quality(bare.logits(h), bare.logits(b)) for name, (h, b) in tests.items()}
    return Probe(weight, bias, mean, scale, found)


def _check_states(states: Mapping[str, Tensor], least: int) -> None:
    for name, rows in states.items():
        if len(rows) < least:
            raise DataError(
                f"{name}: {len(rows)} prompts, expected {least} or more; a probe needs prompts of "
                "both classes"
            )
        wrong = (~torch.isfinite(rows)).any(1).nonzero().flatten().tolist()
        if wrong:
            raise DataError(
                f"{name}, prompt {wrong[0] + 1}: the model's hidden states are not finite "
                f"({len(wrong)} prompts in all); check the model, or load it in float32"
            )


def _split(states: Tensor, size: int, settings: ProbeSettings, name: str) -> tuple[Tensor, Tensor]:
    """Return (training, held-out) states of one class, ``size`` of them in all."""
    seed = derived_seed(settings.seed, "probe", name)
    order = np.random.default_rng(seed).permutation(len(states))[:size]
    test = min(size - 1, max(1, round(settings.held_out * size)))
    return states[torch.from_numpy(order[test:])], states[torch.from_numpy(order[:test])]


def _fit(features: Tensor, harmful: int, penalty: float) -> tuple[Tensor, float]:
    labels = np.arange(len(features)) < harmful
    model: Any = LogisticRegression(C=penalty, max_iter=1000, class_weight="balanced")
    model.fit(features.double().numpy(), labels)
    return torch.from_numpy(model.coef_[0]).float(), float(model.intercept_[0])


def quality(harmful: Tensor, benign: Tensor) -> Quality:
    """Return what the logits of harmful and benign prompts, shapes (n,) and (m,), say."""
    truth = np.arange(len(harmful) + len(benign)) < len(harmful)
    logits = torch.cat([harmful, benign]).double().numpy()
    return Quality(
        harmful=len(harmful), benign=len(benign),
        accuracy_harmful=float((harmful > 0).float().mean()),
        balanced_accuracy=float(balanced_accuracy_score(truth, logits > 0)),
        auroc=float(roc_auc_score(truth, logits)),
        mean_logit_harmful=float(harmful.mean()), mean_logit_benign=float(benign.mean()),
    )  # fmt: skip
