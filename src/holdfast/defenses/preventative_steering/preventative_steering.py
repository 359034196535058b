r"""Preventative steering (Chen et al., persona vectors, arXiv 2507.21509), from its description.

While tuning :math:`h_l \leftarrow h_l + \alpha v_l`, with v_l pointing from refusals to harmful
answers; when served, nothing. What the shift already does, the weights need not learn.
"""

from collections.abc import Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from holdfast.analysis.rows.components.states import moved
from holdfast.artifact import Artifact
from holdfast.defense import (
    Capability,
    Card,
    Defense,
    Examples,
    Run,
    Shared,
    Stage,
    Step,
    Variant,
    in_range,
    listed,
    need_data,
)  # fmt: skip
from holdfast.defenses.attachments import (
    GateFigures,
    all_modules,
    halves,
    kept_rows,
    measured,
    refuse_compiled,
)
from holdfast.defenses.preventative_steering.gate import check_shift, curve
from holdfast.defenses.preventative_steering.given import check_fits, check_layers, read_vectors
from holdfast.defenses.preventative_steering.learned import made, scanned
from holdfast.defenses.preventative_steering.pairs import refused_pairs
from holdfast.defenses.preventative_steering.tokens import (
    Positions,
    UsersTokens,
    predicting,
    switch,
)
from holdfast.defenses.preventative_steering.vectors import (
    increments,
    random_like,
)
from holdfast.errors import ConfigError, RunError
from holdfast.ops.engine import Batch

_LEARNS = ("rows", "held_out", "batch_size", "positions")
"""Settings that decide the vectors and what each of them does to held-out rows."""


@dataclass
class PreventativeSteering(Defense):
    """Shifts hidden states towards harmful answers while the user's data are learned."""

    harmful: Examples | None = None
    """The defender's harmful pairs: Examples of harmful request → compliant answer."""
    safe: Examples | None = None
    """Refusals; one to the same request is taken where there is one, else they serve in turn."""
    benign: Examples | None = None
    """Harmless Examples on which the gate measures what else the shift does; optional."""
    alpha: float = 1.0
    """Strength α in units of v; 0 does nothing, below 0 is a control (upstream example: 5)."""
    layers: tuple[int, ...] | None = None
    """Layers from 0, rising; by default the one whose shift at α = 1 lowers harmful NLL most."""
    positions: Positions = "all"
    """Shift every token (all, as published), or where the user's answers are predicted. Ours."""
    direction: Literal["harm", "random"] = "harm"
    """``random`` is a control: a direction that the run's seed draws, as long as v."""
    rows: int = 100
    """Harmful rows used. Ours."""
    held_out: float = 0.2
    """Share of the harmful and benign rows kept for the gate and the layer, in (0, 0.5]. Ours."""
    batch_size: int = 10
    """Rows per pass. Ours."""
    min_drop: float = 0.0
    """Gate: held-out harmful NLL falls by more than this, nats per token. Ours."""
    max_benign_kl: float = 0.5
    """Gate: largest KL on held-out benign answers, nats per token. Ours."""
    vector: str | None = None
    """File of vectors made before (steering.safetensors); skips making them, not the gate."""

    vectors_: Tensor | None = field(default=None, init=False)
    """v of every layer, shape (layers, hidden)."""
    layers_: list[int] = field(default_factory=list[int], init=False)
    """Layers that are shifted."""
    report_: dict[str, Any] = field(default_factory=dict[str, Any], init=False)
    """Gate figures, lengths, and the harmful loss that each layer's shift leaves."""
    _live: ExitStack | None = field(default=None, init=False, repr=False)
    _tokens: UsersTokens = field(default_factory=UsersTokens, init=False, repr=False)

    card: ClassVar[Card] = Card(
        name="preventative_steering",
        summary="Shifts hidden states towards harm in training, so the weights do not learn it.",
        stage=Stage.TUNE,
        paper="Persona vectors, arXiv 2507.21509",
        strength="alpha",
        cost="none per step; one forward pass over the pairs and one per layer before",
        data=("harmful", "safe", "benign"),
        reads="layers",
        needs=frozenset({Capability.ATTACHMENT, Capability.HOOKS}),
    )
    private: ClassVar[frozenset[str]] = frozenset({"vectors_"})

    def validate(self) -> None:
        """Check ranges and that the pairs are there, unless the strength is 0."""
        in_range(self, "alpha", -1e6, 1e6)
        in_range(self, "max_benign_kl", 0.0)
        in_range(self, "min_drop", -1e12)
        in_range(self, "held_out", 0.01, 0.5)
        in_range(self, "rows", 2)
        in_range(self, "batch_size", 1)
        _check_choice(self.positions, "positions", ("all", "answers"))
        _check_choice(self.direction, "direction", ("harm", "random"))
        check_layers(self.layers)
        if self.alpha == 0:
            return
        if len(need_data(self, "harmful")) < 2:
            raise ConfigError("preventative_steering needs 2 harmful rows or more: one is held out")
        if self.benign is not None and len(self.benign) == 1:
            raise ConfigError("preventative_steering needs 2 benign rows or more: one is held out")
        if self.vector is None:
            need_data(self, "safe")
        else:
            read_vectors(self.vector)  # A wrong file must not show only after the model.

    def idle(self) -> frozenset[str]:
        """Nothing runs at α = 0, and the user's batch is read for ``positions=answers`` alone."""
        if self.alpha == 0:
            return frozenset({"before", "attached", "served", "batch", "after"})
        return frozenset() if self.positions == "answers" else frozenset({"batch"})

    def needs(self) -> frozenset[Capability]:
        """Where the answers are is read from the labels of the user's batch."""
        more = {Capability.LOGITS} if self.positions == "answers" else set[Capability]()
        return self.card.needs | more

    def instead(self, missing: Capability) -> str:
        """Every token can be shifted without a look at the batch."""
        return "or set positions=all" if missing is Capability.LOGITS else ""

    def check_model(self, model: nn.Module) -> None:
        """Look for the layers, and whether the vectors are of this model."""
        check_fits(model, self.layers, self.vector)

    def variant(self) -> Variant:
        """A random direction and a negative α are controls."""
        labels = ["random"] if self.direction == "random" else []
        labels += ["negative"] if self.alpha < 0 else []
        return Variant("-".join(labels), control=self.alpha == 0 or bool(labels))

    def shared(self) -> Shared | None:
        """The vectors of all layers; each run still holds its own shift against its own gate."""
        if self.alpha == 0 or self.vector is not None:
            return None
        made_of = {k: v for k, v in self.config().items() if k in _LEARNS}
        made_of["chooses"] = self.layers is None
        return Shared("steering_vectors", made_of, self._learn, self._take, ("harmful", "safe"))

    def _learn(self, run: Run, folder: Path) -> None:
        learning = replace(self, alpha=1.0, min_drop=-1e12, max_benign_kl=1e12, benign=None)
        learning.before(run)
        learning.after(run).save(folder)

    def _take(self, folder: Path) -> Defense:
        return replace(self, vector=str(folder / self.card.name / "steering.safetensors"))

    def before(self, run: Run) -> None:
        """Make the vectors, or read them, choose the layer, and hold the shift against the gate."""
        refuse_compiled(self.card.name, run.model.modules())
        cut = self.held_out, self.batch_size
        harmful, held = halves(run, listed(self.harmful, self.rows), *cut)
        benign = halves(run, listed(self.benign), *cut)[1]
        nll: Tensor | None = None
        if self.vector is None:
            self.vectors_ = self._made(run, harmful)
        else:
            self.vectors_, nll = read_vectors(self.vector)
        if self.layers is None:
            if nll is None:
                nll = scanned(run, self._known(), held, self.positions, self.card.name)
            self.report_["nll"], self.layers_ = nll.tolist(), [int(nll.argmin())]
        else:
            self.layers_ = list(self.layers)
        self._gate(run, held, benign)

    def _made(self, run: Run, harmful: list[Batch]) -> Tensor:
        """Return v of every layer, of the pairs that are not held out."""
        rows = listed(self.harmful, self.rows)
        rows = rows[: kept_rows(len(rows), self.held_out)]
        refusals, lent = refused_pairs(rows, listed(self.safe))
        self.report_ |= {"pairs": len(rows), "refusals_of_other_prompts": lent}
        return made(run, harmful, run.batches(refusals, self.batch_size), self.card.name)

    def _shift(self, run: Run) -> dict[int, Tensor]:
        """Return what is added in each layer, α included."""
        by = increments(self._known(), self.layers_)
        if self.direction == "random":
            by = random_like(by, run.seed)
        device = next(run.model.parameters()).device
        return {n: (self.alpha * v).to(device) for n, v in by.items()}

    def _known(self) -> Tensor:
        if self.vectors_ is None:
            raise RunError("preventative_steering: the run has no vectors: `before` has not run")
        return self.vectors_

    def _gate(self, run: Run, held: list[Batch], benign: list[Batch]) -> None:
        """Measure the shift and tell of it; a control need not pass."""
        by = self._shift(run)
        figures = measured(run.engine, switch(run.model, by, self.positions), held, benign)
        norms = {str(n): float(v.norm()) for n, v in by.items()}
        self.report_ |= {"gate": figures.row(), "layers": self.layers_, "shift_norms": norms}
        told = ", ".join(f"{norm:.3g} in layer {n}" for n, norm in norms.items())
        run.say(figures.told(self.card.name))
        run.say(f"{self.card.name}: length of the shift {told}")
        if not all(norms.values()):
            raise RunError(
                "preventative_steering: the shift is 0: harmful answers and refusals have the same "
                "states, as equal rows have; give refusals as `safe=FILE`"
            )
        if not self.variant().control:
            check_shift(figures, self.min_drop, self.max_benign_kl, self.alpha, self.layers_)

    @contextmanager
    def attached(self, run: Run) -> Generator[None]:
        """Keep the shift on for all steps, backward passes included; take it off at any end."""
        if self._live is not None:  # On already: it is attached once.
            yield
            return
        refuse_compiled(self.card.name, all_modules(run))
        try:
            with ExitStack() as self._live:
                self._live.enter_context(self._on(run))
                yield
        finally:
            self._live, self._tokens.now = None, None

    def _on(self, run: Run) -> AbstractContextManager[None]:
        where = self._tokens if self.positions == "answers" else None
        return moved(run.model, self._shift(run), where)

    @contextmanager
    def served(self, run: Run) -> Generator[None]:
        """Take the shift off while a checkpoint is written or the model is evaluated."""
        if self._live is None:
            yield
            return
        self._live.close()
        try:
            yield
        finally:
            self._live.enter_context(self._on(run))

    def batch(self, step: Step, batch: Batch) -> Batch:
        """Note where the user's answers are predicted; the batch stays as it is."""
        del step
        self._tokens.now = predicting(batch)
        return batch

    def after(self, run: Run) -> Artifact:
        """Hand over the vectors, which must never lie beside the released model."""
        del run
        tensors = {"vectors": self._known()}
        shown: dict[str, Any] = dict(self.report_)
        nll = shown.pop("nll", None)
        if nll is not None:
            tensors["nll"] = torch.tensor(nll)
            shown["by_layer"] = curve(nll, self.layers_)
        return Artifact(
            self.card.name,
            tensors={"steering": tensors},
            documents={"report": {**self.config(), **self.report_}},
            report={**shown, "gate": GateFigures.shown(self.report_["gate"])},
            private=True,
        )


def _check_choice(value: str, name: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(
            f"preventative_steering: `{name}={value}` must be one of {', '.join(known)}"
        )
