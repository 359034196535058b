"""Continual learning on a safety memory (arXiv 2512.10150): one class, eight published methods."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, ClassVar

import torch.nn.functional as F  # noqa: N812 (the name PyTorch gives it)
from torch import Tensor, nn

from holdfast.defense import (
    Backward,
    Capability,
    Card,
    Defense,
    Examples,
    Row,
    Run,
    Stage,
    Step,
    Variant,
    in_range,
    need_data,
    whole_in_range,
)  # fmt: skip
from holdfast.defense.figures import Mean
from holdfast.defenses.felt import row_batches
from holdfast.defenses.memory_anchor.importance import importance, penalty, pull
from holdfast.defenses.memory_anchor.methods import (
    EVERY,
    Method,
    Settings,
    Where,
    check_settings,
    settled,
)
from holdfast.defenses.memory_anchor.rows import memory_rows
from holdfast.defenses.memory_anchor.states import States, reading
from holdfast.defenses.memory_anchor.user_rows import Seen, same_rows, seen_at_start, user_distance
from holdfast.errors import ConfigError, DivergedError, ModelError, RunError
from holdfast.ops.agreement import answer_logits
from holdfast.ops.anchors.distances import Distance, distance
from holdfast.ops.anchors.references import (
    Reference,
    at,
    reference_at,
    reference_table,
    said_now,
)
from holdfast.ops.batches import IGNORED
from holdfast.ops.engine import Batch, Engine
from holdfast.ops.engines.sharded import laid_out
from holdfast.ops.gradients import Tensors, global_norm
from holdfast.ops.modules import decoder_layers
from holdfast.ops.randomness import derived_seed
from holdfast.ops.weights import copied
from holdfast.progress import ticking
from holdfast.training.steering.steerable import Steerable


def memory_term(engine: Engine, batch: Batch, reference: Reference | None, of: Settings) -> Tensor:
    r"""Return :math:`\alpha\,d(z_\theta, z_0) + \beta\,CE` on a batch of the memory.

    Both are means over answer tokens, of one forward pass, with its graph.

    Args:
        engine: The engine of the model; its passes have no dropout.
        batch: Rows of the memory.
        reference: What the model said of them at θ0; None where nothing is compared.
        of: The weights α and β, and the distance.
    """
    logits = answer_logits(engine, batch)
    total = logits.new_zeros(())
    if reference is not None:
        total = total + of.anchor * distance(logits, reference, of.distance, of.temperature)
    if of.cross_entropy > 0:
        wanted = batch["labels"].to(logits.device)[:, 1:]
        losses = F.cross_entropy(logits, wanted[wanted != IGNORED], reduction="sum")
        total = total + of.cross_entropy * losses / max(1, len(logits))
    return total


@dataclass
class MemoryAnchor(Steerable):
    """Adds what a method of continual learning adds, so that the start is not forgotten."""

    safe: Examples | None = None
    """The memory M: Examples that pair a harmful request with a refusal."""
    benign: Examples | None = None
    """Examples of harmless requests with answers, which ``harmless`` takes into the memory."""
    method: Method = "der"
    """``replay``, ``der``, ``der++``, ``lwf``, ``kl``, ``ldifs``, ``ewc`` or ``l2-sp``."""
    strength: float = 1.0
    """Multiple of all that is added, 0 or more; 0 is plain fine-tuning. Ours; the papers' is 1."""
    alpha: float | None = None
    """α of der and der++: weight of the squared distance of logits (ours: 1; paper's unknown)."""
    beta: float | None = None
    """β of replay and der++: weight of the memory's loss (ours: 1)."""
    lam: float | None = None
    """λ of lwf (ours: 1), kl (paper: 0.1), ldifs (paper: 1), ewc and l2-sp (ours: 1)."""
    distance: Distance | None = None
    """Another distance of logits than the method's: ``l2``, ``kl`` or ``reverse_kl``. Ours."""
    where: Where | None = None
    """Other rows than the method's to compare logits on: ``memory`` or ``user``. Ours."""
    temperature: float | None = None
    """T of a KL divergence (lwf: 2, as its paper; else 1); it is not multiplied by T²."""
    top_k: int = 0
    """Logits kept of each answer token of the memory; 0 keeps all and is exact. Ours."""
    live: bool = False
    """Keep no logits of the memory: one more forward pass at the start's weights instead. Ours."""
    every: int = EVERY
    """ldifs: layers from one that is read to the next, back from the last (paper: 5)."""
    rows: int | None = None
    """Rows of ``safe`` in the memory, from the first; default all of them."""
    harmless: float = 0.0
    """Rows of ``benign`` in the memory per row of ``safe``, 0 or more. Ours."""
    batch_size: int = 10
    """Rows of the memory per optimizer step. Ours."""

    reference_: dict[str, Any] = field(default_factory=dict[str, Any], init=False)
    """What the model said of the memory before step 0; der and der++."""
    start_: Tensors = field(default_factory=dict[str, Tensor], init=False)
    """The trained tensors before step 0; methods on the user's rows or on the weights."""
    fisher_: Tensors = field(default_factory=dict[str, Tensor], init=False)
    """What each weight matters to the memory; ewc."""
    figures_: dict[str, float] = field(default_factory=dict[str, float], init=False)
    """The latest value of what is added, and its share of the user's loss."""
    _rows: tuple[int, list[Row]] | None = field(default=None, init=False, repr=False)
    _losses: dict[int, float] = field(default_factory=dict[int, float], init=False, repr=False)
    _terms: dict[int, float] = field(default_factory=dict[int, float], init=False, repr=False)
    _held: tuple[Batch, Seen] | None = field(default=None, init=False, repr=False)
    _states: States = field(default_factory=States, init=False, repr=False)

    steered: ClassVar[str] = "strength"
    bounds: ClassVar[tuple[float, float]] = (1e-3, 1e3)
    card: ClassVar[Card] = Card(
        name="memory_anchor",
        summary="Holds the model near its start, on a memory of refusals or by its weights.",
        stage=Stage.TUNE,
        paper="Continual learning for safety, arXiv 2512.10150",
        strength="strength",
        cost="replay, DER: one memory pass per step; on the user's rows: one forward; EWC: none",
        data=("safe", "benign"),
    )

    def validate(self) -> None:
        """Check ranges, that the fields belong to the method, and that it has its rows."""
        for name in ("strength", "harmless"):
            in_range(self, name, 0.0)
        whole = {"top_k": 0, "every": 1, "batch_size": 1}
        for name, low in (whole if self.rows is None else whole | {"rows": 1}).items():
            whole_in_range(self, name, low)
        check_settings(self)
        if self.live and (self.top_k or settled(self).where != "memory"):
            raise ConfigError(
                "memory_anchor: `live=True` is for logits that are compared on the memory and not "
                f"kept, and `method={self.method!r}`, `top_k={self.top_k}` was given"
            )
        if self.strength > 0 and self._has_memory:
            need_data(self, "safe")
            if self.harmless > 0:
                need_data(self, "benign")
                self._check_harmless()

    def _check_harmless(self) -> None:
        refusals = self._refusals
        if round(self.harmless * refusals) == 0:
            raise ConfigError(
                f"memory_anchor: `harmless={self.harmless!r}` of {refusals} refusals is no row; "
                f"give {1 / refusals:.2g} or more, or 0"
            )

    @property
    def _refusals(self) -> int:
        """How many rows of ``safe`` are in the memory."""
        count = len(need_data(self, "safe"))
        return count if self.rows is None else min(int(self.rows), count)

    @property
    def _has_memory(self) -> bool:
        return settled(self).passes_memory or self.method == "ewc"

    def needs(self) -> frozenset[Capability]:
        """Return what the method needs: passes of its own, or the user's logits and the start."""
        of, found = settled(self), set[Capability]()
        if of.where == "user":
            found |= {Capability.LOGITS, Capability.EDITS_WEIGHTS}
        if of.compared == "states":
            found.add(Capability.HOOKS)
        if of.passes_memory or of.compared == "weights":
            found.add(Capability.EXTRA_BACKWARD)
        return frozenset(found | ({Capability.EDITS_WEIGHTS} if self.live else set()))

    def check_model(self, model: nn.Module) -> None:
        """Look for the layers whose states are held."""
        try:
            if settled(self).compared == "states":
                decoder_layers(model)
        except ModelError as error:
            raise ModelError(f"memory_anchor: {error}") from error

    def idle(self) -> frozenset[str]:
        """What the method has no use for; everything at strength 0."""
        of, unused = settled(self), set[str]()
        if self.strength == 0:
            return frozenset({"before", "batch", "gradient", "loss"})
        if not of.compared:
            unused.add("before")
        if of.where != "user":
            unused |= {"batch", "loss"}
        return frozenset(unused)

    def conflict(self, other: Defense) -> str | None:
        """On the user's rows, an attached vector would be taken for a change of the model."""
        if settled(self).where == "user" and Capability.ATTACHMENT in other.card.needs:
            return (
                f"{other.card.name} attaches something to the model while it trains, and what is "
                "compared with the start on the user's rows would hold it; compare on the memory "
                "(`method='der'`)"
            )
        return super().conflict(other)

    def variant(self) -> Variant:
        """Return the method, and what is not as it was published."""
        own = [self.method.replace("+", "p"), self.distance, self.where]
        label = "-".join(part for part in own if part) + ("-harmless" if self.harmless else "")
        return Variant(label, control=self.is_off)

    def before(self, run: Run) -> None:
        """Keep what the method compares with: logits of the memory, or the trained tensors."""
        of = settled(self)
        if of.where == "user" or of.compared == "weights" or self.live:
            self.start_ = copied(run.engine.parameters())
        if of.where == "memory" and not self.live:
            batches = self._memory(run)
            tick = ticking(run.progress, "memory_anchor: reference", len(batches))
            top_k, heat = int(self.top_k), of.temperature
            self.reference_ = reference_table(run.engine, batches, top_k, heat, tick)
        if self.method == "ewc":
            batches = row_batches(run, self._drawn(run), int(self.batch_size))
            tick = ticking(run.progress, "memory_anchor: importance", len(batches))
            self.fisher_ = importance(run.engine, batches, tick)
            run.say(f"memory_anchor: ‖F‖ = {global_norm(self.fisher_):.3g} on the memory")

    def load(self, state: Mapping[str, Any]) -> None:
        """Put back what the run began with; the model at hand is no longer that."""
        super().load(state)
        self._rows = self._held = None

    def batch(self, step: Step, batch: Batch) -> Batch:
        """See what the model at θ0 makes of the user's rows, before the user's own pass.

        The start's tensors are put in for it: afterwards they would be under the user's graph.
        """
        of = settled(self)
        self._align_start(step.engine)
        seen = seen_at_start(step.engine, batch, self.start_, of, int(self.every))
        self._held = (batch, seen)
        return batch

    def loss(self, step: Step, batch: Batch, outputs: Any) -> Tensor:
        r"""Return :math:`\lambda` times the distance from the start on the user's answer tokens."""
        of, labels = settled(self), batch["labels"]
        if self._held is None or not same_rows(self._held[0], batch):
            raise RunError(
                "memory_anchor: the user's batch was changed after it was compared with the "
                "start; give memory_anchor after the defense that changes it"
            )
        # What was seen is kept: a defense outside may run the user's pass again.
        found = user_distance(outputs, self._states, labels, self._held[1], of)
        term = self.strength_now * of.anchor * found
        self._terms[step.micro] = step.share * float(term.detach())
        return term

    def gradient(self, step: Step, backward: Backward) -> Tensor:
        """Add the gradient of the memory's or the weights' term once per update."""
        if step.micro == 0:
            self._losses, self._terms = {}, {}
        reads = settled(self).compared == "states"
        watched = reading(step.model, int(self.every)) if reads else nullcontext(States())
        with watched as self._states:
            loss = backward()
        self._states = States()
        self._losses[step.micro] = float(loss)
        if step.last:
            f = sum(self._losses.values()) - sum(self._terms.values())
            term = sum(self._terms.values()) + self._add(step)
            self.figures_ = {"term": term, "share": Mean(term / f if f else 0.0, abs(f))}
        return loss

    def _add(self, step: Step) -> float:
        """Add what does not run on the user's rows, and return its value."""
        of, total, engine = settled(self), 0.0, step.engine
        # The model as it is served is held: what is attached is not to refuse.
        with step.run.bare():
            if of.compared == "weights":
                total += self._hold_weights(engine, of)
            if of.passes_memory:
                total += self._pass_memory(step, of)
        return total

    def _hold_weights(self, engine: Engine, of: Settings) -> float:
        self._align_start(engine)
        weights, scale = engine.parameters(), self.strength_now * of.anchor
        pulls = pull(weights, self.start_, self.fisher_ or None, scale)
        engine.add_gradient(pulls)
        return penalty(weights, self.start_, pulls)

    def _pass_memory(self, step: Step, of: Settings) -> float:
        batches = self._memory(step.run)
        number = step.number % len(batches)
        reference = self._reference(step.engine, batches[number], number, of)
        gradient, value = step.engine.gradients(
            [batches[number]], lambda batch: memory_term(step.engine, batch, reference, of)
        )
        if not isfinite(value):
            raise DivergedError(
                f"memory_anchor: its term became NaN or infinite at step {step.number}: lower the "
                f"learning rate or `strength`, or look at batch {number + 1} of the memory"
            )
        step.engine.add_gradient(gradient, self.strength_now)
        return self.strength_now * value

    def _reference(
        self, engine: Engine, batch: Batch, number: int, of: Settings
    ) -> Reference | None:
        """Return what the model said of the batch before step 0; None where nothing is compared."""
        if of.where != "memory":
            return None
        if not self.live:
            device = next(engine.model.parameters()).device
            return reference_at(self.reference_, number, batch, device, self.card.name)
        self._align_start(engine)
        with at(engine, self.start_):
            return said_now(engine, batch)

    def _memory(self, run: Run) -> list[Batch]:
        """Return the batches of M; they depend on the rows and the run's seed alone."""
        return run.batches(self._drawn(run), int(self.batch_size))

    def _drawn(self, run: Run) -> list[Row]:
        """Return the rows of M, and tell how many once per run."""
        seed = derived_seed(run.seed, self.card.name)
        if self._rows is None or self._rows[0] != seed:
            rows = memory_rows(self.safe, self.benign, self.rows, self.harmless, seed)
            self._rows = seed, rows
            run.say(
                f"memory_anchor: {self._refusals} refusals and {len(rows) - self._refusals} "
                "harmless rows are the memory"
            )
        return self._rows[1]

    def _align_start(self, engine: Engine) -> None:
        """Move what a checkpoint holds whole on the CPU to where the weights are, once."""
        weights = engine.parameters()
        self.start_ = {n: laid_out(t, weights[n]) for n, t in self.start_.items()}
        self.fisher_ = {n: laid_out(t, weights[n]) for n, t in self.fisher_.items()}

    def metrics(self) -> dict[str, float]:
        """Return the latest value of what is added, and its share of the user's loss."""
        return dict(self.figures_)
