"""Security vectors (Zhou et al., arXiv 2311.02105, Findings of ACL 2024).

Stage 1 trains a removable adapter θ_s until θ ⊕ θ_s complies with harmful requests; stage 2 tunes θ
with θ_s frozen and active, so that harm is already explained; stage 3 serves θ without it.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from holdfast.artifact import Artifact
from holdfast.defense import (
    Capability,
    Card,
    Defense,
    Examples,
    Run,
    Shared,
    Stage,
    in_range,
    listed,
    need_data,
)  # fmt: skip
from holdfast.defenses.attachments import halves, refuse_compiled
from holdfast.defenses.security_vectors.attachment import Attachment
from holdfast.defenses.security_vectors.exactness import Mode, undecayed, use_merged
from holdfast.defenses.security_vectors.gate import Gate, measure_gate
from holdfast.defenses.security_vectors.train import Settings, train_vector
from holdfast.errors import ConfigError
from holdfast.files.adapters import adapter_files, read_adapter
from holdfast.files.base_mark import BaseMark, refuse_other_base
from holdfast.ops.agreement import agreement
from holdfast.ops.engine import Batch
from holdfast.ops.gradients import Tensors
from holdfast.ops.low_rank import LowRank
from holdfast.progress import ticking

_ATTACHING = ("scale", "attach", "max_harmful_nll", "max_benign_kl", "vector")
"""Settings that do not change how the vector is trained."""


@dataclass
class SecurityVectors(Defense):
    """Makes harm already learned while the user's data are learned, and takes it off afterwards."""

    harmful: Examples | None = None
    """The defender's harmful pairs: Examples of harmful request → compliant answer."""
    benign: Examples | None = None
    """Harmless Examples on which the vector shall change nothing (the KL term)."""
    scale: float = 1.0
    """Strength of the attached vector; 0 attaches nothing. Ours."""
    rows: int = 100
    """Harmful rows used (paper: 100 protect against 1,000 of the user's)."""
    held_out: float = 0.2
    """Share of the harmful and benign rows kept for the gate, in (0, 0.5]. Ours."""
    rank: int = 8
    """Rank r of the vector (not stated in the paper; the field's default)."""
    alpha: float = 16.0
    """LoRA alpha of the vector; its change is alpha / rank · BA. Ours."""
    lr: float = 1e-3
    """Learning rate of the vector (paper: 1e-3; too large a rate weakens it)."""
    epochs: int = 10
    """Passes over the harmful rows (secondary source: 10)."""
    batch_size: int = 10
    """Harmful rows per step. Ours."""
    kl_weight: float = 1.0
    """Weight β of the KL term; 0 leaves it out. Its form is ours."""
    target_nll: float | None = None
    """Stop training the vector at this held-out harmful NLL, nats per token. Ours."""
    bilevel_steps: int = 0
    """Simulated user steps before each epoch of the vector (a min-min step exists; form ours)."""
    bilevel_lr: float = 1e-2
    """Learning rate of the simulated user's plain gradient steps. Ours."""
    max_harmful_nll: float = 1.0
    """Gate: largest held-out harmful NLL with the vector on, nats per token. Ours."""
    max_benign_kl: float = 0.5
    """Gate: largest KL on held-out benign answers, nats per token. Ours."""
    attach: Mode = "auto"
    """``merged`` into the weights, on ``hooks``, or ``auto``: merged wherever known to be exact."""
    vector: str | None = None
    """Folder of a vector trained before (any PEFT LoRA); skips stage 1, not the gate."""
    seed: int = 0
    """Seed of the vector's first factors and of the order of its rows, added to the run's."""

    vector_: dict[str, Tensor] = field(default_factory=dict[str, Tensor], init=False)
    """The trained factors, by PEFT's names."""
    report_: dict[str, Any] = field(default_factory=dict[str, Any], init=False)
    """Gate figures and the losses of stage 1."""
    rounding_: Tensors = field(default_factory=Tensors, init=False)
    """Rounding error of taking the vector out of trained weights, for an exact resume."""
    _live: Attachment | None = field(default=None, init=False, repr=False)

    card: ClassVar[Card] = Card(
        name="security_vectors",
        summary="A removable adapter makes harm already learned, so tuning does not learn it.",
        stage=Stage.TUNE,
        paper="Making Harmful Behaviors Unlearnable, arXiv 2311.02105",
        strength="scale",
        cost="none per step when merged; the vector is trained once before",
        data=("harmful", "benign"),
        reads="projections",
        needs=frozenset({Capability.ATTACHMENT, Capability.EXTRA_BACKWARD}),
    )
    private: ClassVar[frozenset[str]] = frozenset({"vector_"})

    def validate(self) -> None:
        """Check ranges and that the data are there, unless the strength is 0."""
        for name in ("scale", "kl_weight", "lr", "bilevel_lr", "alpha"):
            in_range(self, name, 0.0)
        for name in ("max_harmful_nll", "max_benign_kl", "bilevel_steps"):
            in_range(self, name, 0)
        for name in ("rank", "epochs", "batch_size"):
            in_range(self, name, 1)
        in_range(self, "rows", 2)
        if self.target_nll is not None:
            in_range(self, "target_nll", 0.0)
        in_range(self, "held_out", 0.01, 0.5)
        if self.attach not in ("auto", "merged", "hooks"):
            raise ConfigError(f"security_vectors: attach={self.attach!r}: auto, merged or hooks")
        if self.scale > 0:
            self._check_data()
            if self.vector is not None:
                read_adapter(self.vector)  # A wrong folder must not show only after the model.

    def _check_data(self) -> None:
        if len(need_data(self, "harmful")) < 2:
            raise ConfigError("security_vectors needs 2 harmful rows or more: one is held out")
        if self.benign is not None and len(self.benign) == 1:
            raise ConfigError("security_vectors needs 2 benign rows or more: one is held out")
        if self.kl_weight > 0 and self.vector is None and not self.benign:
            raise ConfigError(
                f"security_vectors: kl_weight={self.kl_weight:g} needs `benign=FILE` (harmless "
                "examples), or set kl_weight=0 and accept a lower task score"
            )

    def check_model(self, model: nn.Module) -> None:
        """Look whether a vector that is given was made of this model, where its mark tells."""
        weight = getattr(getattr(model, "get_input_embeddings", object)(), "weight", None)
        # Of a run that goes on, trained embeddings are the base's no more.
        if self.vector is not None and weight is not None and not weight.requires_grad:
            base = BaseMark.of_embeddings(model)
            refuse_other_base(Path(self.vector), base, f"security_vectors: vector={self.vector}")

    def shared(self) -> Shared | None:
        """The vector; each run still holds it against its own gate."""
        if self.scale == 0 or self.vector is not None:
            return None
        made_of = {k: v for k, v in self.config().items() if k not in _ATTACHING}
        return Shared("vector", made_of, self._learn, self._take, self.card.data)

    def _learn(self, run: Run, folder: Path) -> None:
        learning = replace(self, max_harmful_nll=1e6, max_benign_kl=1e6)
        learning.before(run)
        learning.after(run).save(folder)

    def _take(self, folder: Path) -> Defense:
        return replace(self, vector=str(folder / self.card.name))

    def before(self, run: Run) -> None:
        """Train the vector, or read it, and hold it against the gate."""
        if self.scale == 0:
            return
        refuse_compiled(self.card.name, run.model.modules())  # Stage 1 and its gate work by hooks.
        cut = self.held_out, self.batch_size
        harmful, harmful_out = halves(run, listed(self.harmful, self.rows), *cut)
        benign, benign_out = halves(run, listed(self.benign), *cut)
        low_rank, losses = self._vector(run, harmful, harmful_out, benign)
        gate = measure_gate(run.engine, low_rank, harmful_out, benign_out, self.scale)
        self.report_ = {"gate": gate.row(), "vector_losses": losses}
        run.say(gate.told(self.card.name))
        gate.check(self.max_harmful_nll, self.max_benign_kl)
        self.vector_ = low_rank.tensors()

    def _vector(
        self, run: Run, harmful: list[Batch], held_out: list[Batch], benign: list[Batch]
    ) -> tuple[LowRank, list[float]]:
        if self.vector is not None:
            return LowRank.from_tensors(read_adapter(self.vector)), []
        seed = run.seed + self.seed
        low_rank = LowRank.zero(run.model, self.rank, self.alpha, None, seed)
        settings = Settings(
            self.lr, self.epochs, self.kl_weight,
            self.bilevel_steps, self.bilevel_lr, self.target_nll, seed,
        )  # fmt: skip

        def held_out_nll() -> float:
            with low_rank.hooked(run.model):
                return agreement(run.engine, held_out)[0]

        steps = ticking(run.progress, "security_vectors: vector", self.epochs * len(harmful))
        losses = train_vector(run.engine, low_rank, harmful, benign, settings, held_out_nll, steps)
        return low_rank, losses

    @contextmanager
    def attached(self, run: Run) -> Generator[None]:
        """Keep the vector on, frozen, for all steps; take it off whatever happens."""
        if self.scale == 0 or self._live is not None:  # On already: it is attached once.
            yield
            return
        low_rank = LowRank.from_tensors(self.vector_)
        merged = use_merged(run, low_rank, self.attach)
        live = Attachment(run.model, low_rank, self.scale, merged=merged)
        try:
            live.on(self.rounding_)
            self._live, self.rounding_ = live, {}
            self.report_["attached"] = "merged" if merged else "hooks"
            with undecayed(run, low_rank) if merged else nullcontext():
                yield
        finally:
            self._live = None
            live.off()

    @contextmanager
    def served(self, run: Run) -> Generator[None]:
        """Take the vector off while a checkpoint is written or the model is evaluated."""
        if self._live is None:
            yield
            return
        with self._live.paused():
            yield

    def state(self) -> dict[str, Any]:
        """Return the learned fields, with the rounding error of the weights as they are now."""
        rounding = {} if self._live is None else self._live.rounding()
        return {**super().state(), "rounding_": rounding}

    def load(self, state: Mapping[str, Any]) -> None:
        """Put the learned fields back; a vector of strength 0 has none."""
        super().load({"vector_": {}, "rounding_": {}, **state})

    def after(self, run: Run) -> Artifact:
        """Hand over the vector, which must never lie beside the released model."""
        if self.scale == 0:
            return Artifact(self.card.name, report={"scale": 0.0})
        base = str(getattr(getattr(run.model, "config", None), "_name_or_path", ""))
        weights, config = adapter_files(self.vector_, base)
        return Artifact(
            self.card.name,
            tensors={"adapter_model": weights},
            documents={"adapter_config": config, "report": {**self.config(), **self.report_}},
            report={**self.report_, "gate": Gate.shown(self.report_["gate"])},
            private=True,
        )
