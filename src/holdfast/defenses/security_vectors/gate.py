"""The check between stage 1 and stage 2: is harm learned by the vector, and nothing else?"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import torch

from holdfast.artifact import Table
from holdfast.defenses.security_vectors.train import kl_divergence
from holdfast.errors import GateError
from holdfast.ops.agreement import agreement, answer_logits
from holdfast.ops.engine import Batch, Engine
from holdfast.ops.low_rank import LowRank


@dataclass(frozen=True)
class Gate:
    """Figures of a vector on rows it was not trained on."""

    harmful_nll: float
    """Loss of held-out harmful answers with the vector on, nats per token: left to learn."""
    harmful_nll_off: float
    """The same with the vector off."""
    benign_kl: float | None
    """KL between vector off and on at benign answers, nats per token; None without benign rows."""

    def row(self) -> dict[str, float | None]:
        """Return the figures as a JSON object."""
        return asdict(self)

    @staticmethod
    def shown(row: Mapping[str, float | None]) -> Table:
        """Return the figures of ``row()`` as a report shows them."""
        return Table(
            "The vector's gate",
            ("harmful loss, vector on", "harmful loss, vector off", "benign KL"),
            ((row["harmful_nll"], row["harmful_nll_off"], row["benign_kl"]),),
            "Nats per token, before tuning, on rows that the vector was not trained on. What "
            "harmful loss the vector leaves, tuning can still learn.",
        )

    def check(self, max_harmful_nll: float, max_benign_kl: float) -> None:
        """Raise ``GateError`` with both figures where one is over its threshold."""
        kl = 0.0 if self.benign_kl is None else self.benign_kl
        if self.harmful_nll <= max_harmful_nll and kl <= max_benign_kl:
            return
        raise GateError(
            f"the security vector is not fit: with it on, held-out harmful NLL is "
            f"{self.harmful_nll:.3f} nats per token (at most {max_harmful_nll:g}; off: "
            f"{self.harmful_nll_off:.3f}) and benign KL {kl:.3f} (at most {max_benign_kl:g}); "
            "train it longer (epochs), with more rows or rank, raise kl_weight, or move the "
            "thresholds"
        )


@torch.no_grad()
def measure_gate(
    engine: Engine,
    vector: LowRank,
    harmful: Sequence[Batch],
    benign: Sequence[Batch],
    scale: float = 1.0,
) -> Gate:
    """Measure a vector on held-out batches at the strength ``scale`` it will be attached with."""
    off = agreement(engine, harmful)[0]
    with vector.hooked(engine.model, scale):
        on = agreement(engine, harmful)[0]
    drifts: list[float] = []
    for batch in benign:
        reference = answer_logits(engine, batch)
        with vector.hooked(engine.model, scale):
            drifts.append(float(kl_divergence(reference, answer_logits(engine, batch))))
    return Gate(on, off, sum(drifts) / len(drifts) if drifts else None)
