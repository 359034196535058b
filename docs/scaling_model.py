"""Memory and time of a job by formula: what a model's shape, batch and defense come to.

Sizes are bytes of one process at its peak, counts are of weights. Shapes are those of decoders with
gated MLPs (Llama and its kin). ``measurements/scaling.py`` measures what this says.
"""

from dataclasses import asdict, dataclass
from typing import Any

GIB = 2**30
WHOLE = 4
"""Bytes of a trained weight, of its gradient, and of each of Adam's two moments: all float32."""


@dataclass(frozen=True)
class Shape:
    """A decoder: width, layers, width of the MLP, width of all keys, vocabulary."""

    hidden: int
    layers: int
    inner: int
    keys: int
    vocabulary: int

    @property
    def projections(self) -> int:
        """Weights of q, o, k, v, gate, up and down."""
        attention = 2 * self.hidden**2 + 2 * self.hidden * self.keys
        return self.layers * (attention + 3 * self.hidden * self.inner)

    @property
    def parameters(self) -> int:
        """All weights, the embeddings and a head of their own among them."""
        norms = self.hidden * (2 * self.layers + 1)
        return self.projections + 2 * self.hidden * self.vocabulary + norms

    def adapter(self, rank: int) -> int:
        """Weights of low-rank factors on every projection: rank · (in + out) each."""
        attention = 4 * self.hidden + 2 * (self.hidden + self.keys)
        return self.layers * rank * (attention + 3 * (self.hidden + self.inner))


@dataclass(frozen=True)
class Job:
    """One fine-tuning run, and how it is spread."""

    shape: Shape
    tokens: int
    """Of a row."""
    batch: int
    """Rows of a micro-batch of one process."""
    lora_rank: int = 0
    """0: all weights are trained."""
    base_bytes: float = 4.0
    """Of a frozen weight: 2 in bfloat16, about 0.6 in 4 bits."""
    active_bytes: float = 4.0
    """Of a number that a layer keeps for the backward: 2 under autocast in bfloat16."""
    recompute: bool = False
    """Each layer keeps its input alone (``gradient_checkpointing=True``)."""
    shards: int = 1
    """Processes that share weights, gradients and moments (FSDP2); 1 under DDP."""
    vector_rank: int = 8

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> "Job":
        """Read what ``to_json`` returned."""
        return cls(**(found | {"shape": Shape(**found["shape"])}))

    @property
    def trained(self) -> int:
        """Weights that are trained."""
        return self.shape.adapter(self.lora_rank) if self.lora_rank else self.shape.parameters


@dataclass(frozen=True)
class Memory:
    """Bytes at the peak of one process, by what they are."""

    weights: float
    moments: float
    pass_: float
    """Gradients, activations and logits, as much of them as lives at once."""
    defense: float
    """What the defense makes the peak higher by."""

    @property
    def total(self) -> float:
        """All of it."""
        return self.weights + self.moments + self.pass_ + self.defense


def logits(job: Job) -> float:
    """Return the bytes of one float32 number per token and word of the vocabulary."""
    return WHOLE * job.tokens * job.batch * job.shape.vocabulary


def activations(job: Job) -> float:
    r"""Return what a forward pass keeps for its backward, without logits.

    Per token and layer :math:`9h + 2k + 4f` numbers: two residual sums, two norms with what goes in
    and comes out (:math:`4h`), queries, keys, values and what attention returns (:math:`3h + 2k`),
    and four of the MLP's width. Where norms are frozen, :math:`2h` of these are not kept.
    """
    shape = job.shape
    kept = (7 if job.lora_rank else 9) * shape.hidden + 2 * shape.keys + 4 * shape.inner
    layer = job.active_bytes * job.tokens * job.batch * kept
    if not job.recompute:
        return shape.layers * layer
    return layer + shape.layers * job.active_bytes * job.tokens * job.batch * shape.hidden


def memory(job: Job, variant: str) -> Memory:
    r"""Return the peak of a run with a defense.

    With W the weights, M the moments, T one copy of what is trained (all three shared by the
    shards), A the activations with three copies of the logits:

    - plain: :math:`W + M + \max(A, T)`; gradients grow as fast as activations go;
    - post-hoc (Panacea behind the last step): :math:`W + M + 2T` and two copies of the logits,
      where that is more: ε and the copy that the weights are put back from;
    - in-loop (Panacea, Booster): :math:`W + M + 3T + A`: the user's gradient, ε and the copy;
    - vector (security vectors): plain, and the vector's own factors, which every process holds.
    """
    shape, trained = job.shape, job.trained * WHOLE / job.shards
    frozen = shape.parameters * job.base_bytes / job.shards if job.lora_rank else 0.0
    weights, moments = frozen + trained, 2 * trained
    # A process holds one layer whole while it computes with it.
    gathered = shape.projections / shape.layers * job.active_bytes if job.shards > 1 else 0.0
    full = activations(job) + 3 * logits(job) + gathered
    plain = max(full, trained)
    more = {
        "plain": 0.0,
        "post-hoc": max(0.0, 2 * trained + 2 * logits(job) + gathered - plain),
        "in-loop": 3 * trained + full - plain,
        "vector": WHOLE * shape.adapter(job.vector_rank),
    }
    return Memory(weights, moments, plain, more[variant])


def operations(job: Job) -> float:
    """Return the floating-point operations of a plain step of one micro-batch.

    Twice a weight per token forward, as much again for the gradient of what goes in, and as much
    for the gradient of the weight where it is trained; recomputing is a forward more. Attention
    itself is left out: it is small below some thousand tokens.
    """
    used = job.shape.projections + job.shape.hidden * job.shape.vocabulary
    passes = (2 if job.lora_rank else 3) + (1 if job.recompute else 0)
    return 2.0 * used * job.tokens * job.batch * passes


def relative_time(variant: str, every: int = 1) -> float:
    """Return a step's time in plain steps: in-loop takes two more passes, each ``every`` steps."""
    return 1 + 2 / every if variant == "in-loop" else 1.0
