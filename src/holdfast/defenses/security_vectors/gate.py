"""The check between stage 1 and stage 2: is harm learned by the vector, and nothing else?"""

from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.defenses.attachments import GateFigures, measured
from holdfast.errors import GateError
from holdfast.ops.engine import Batch, Engine
from holdfast.ops.low_rank import LowRank


@dataclass(frozen=True)
class Gate(GateFigures):
    """Figures of a vector on rows it was not trained on."""

    def check(self, max_harmful_nll: float, max_benign_kl: float) -> None:
        """Raise ``GateError`` with both figures where one is over its threshold."""
        kl = 0.0 if self.benign_kl is None else self.benign_kl
        if self.harmful_nll <= max_harmful_nll and kl <= max_benign_kl:
            return
        raise GateError(
            f"the security vector is not fit: with it on, held-out harmful NLL is "
            f"{self.harmful_nll:.3f} nats per token (at most {max_harmful_nll:g}; off: "
            f"{self.harmful_nll_off:.3f}) and benign KL {self.kl_told()} "
            f"(at most {max_benign_kl:g}); "
            "train it longer (epochs), with more rows or rank, raise kl_weight, or move the "
            "thresholds"
        )


def measure_gate(
    engine: Engine,
    vector: LowRank,
    harmful: Sequence[Batch],
    benign: Sequence[Batch],
    scale: float = 1.0,
) -> Gate:
    """Measure a vector on held-out batches at the strength ``scale`` it will be attached with."""
    found = measured(engine, lambda _: vector.hooked(engine.model, scale), harmful, benign)
    return Gate(found.harmful_nll, found.harmful_nll_off, found.benign_kl)
