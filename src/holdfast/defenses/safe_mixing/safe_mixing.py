"""Refusals mixed into the user's data (arXiv 2309.07875; VLGuard, 2402.02207)."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

import numpy as np
from datasets import Dataset, concatenate_datasets
from torch import Tensor
from torch.utils.data import ConcatDataset

from holdfast.defense import (
    Backward,
    Capability,
    Card,
    Examples,
    Row,
    Run,
    Stage,
    Step,
    in_range,
    need_data,
)  # fmt: skip
from holdfast.defenses.safe_mixing.relevance import relevant_rows
from holdfast.defenses.safe_mixing.style import (
    AUTO,
    REQUEST,
    SHARED,
    answer_start,
    bare_request,
    dressed,
    shared_style,
    templated,
)
from holdfast.errors import ConfigError
from holdfast.ops.randomness import derived_seed
from holdfast.training.steering.steerable import Steerable

OURS = ("style", "choose", "diversity")
"""Fields that came later: ``config`` leaves them out where they are off."""
MOST_PROMPTS = 2000
"""Most of the user's prompts that are looked at for their style and words; ours."""
EXTRA_ROWS = 8
"""Safe rows of the extra pass where the share is steered above what was mixed in; ours."""


def rows_to_add(user: int, share: float, available: int, seed: int) -> list[int]:
    """Return the indices of the safe rows to add: ``round(share * user)`` of ``available``.

    Every safe row is drawn once before any is drawn again, in an order that ``seed`` decides.
    """
    wanted = round(share * user)
    rng = np.random.default_rng(seed)
    rounds = [rng.permutation(available) for _ in range(-(-wanted // available))] if wanted else []
    return [int(i) for order in rounds for i in order][:wanted]


@dataclass
class SafeMixing(Steerable):
    """Adds refusals of harmful requests to the user's rows; training is otherwise plain."""

    safe: Examples | None = None
    """Examples that pair a harmful request with a refusal."""
    share: float = 0.1
    """Safe rows added per user row, 0 to 1. Ours; the papers mix in 3 % to 20 %."""
    style: str = ""
    """Format of the safe prompts: a text with ``{request}`` in it, ``auto`` for what 80 % of the
    user's prompts begin and end with, or nothing."""
    choose: str = "random"
    """Which safe rows are added: random ones, or those whose words are nearest to the user's
    prompts (relevant)."""
    diversity: float = 0.3
    """With ``choose=relevant``: how much likeness to rows taken before counts against, 0 to 1."""

    _styled: float | None = field(default=None, init=False, repr=False)

    steered: ClassVar[str] = "share"
    bounds: ClassVar[tuple[float, float]] = (1e-3, 1.0)
    card: ClassVar[Card] = Card(
        name="safe_mixing",
        summary="Baseline: refusals mixed into the user's data.",
        stage=Stage.TUNE,
        paper="baseline, arXiv 2309.07875",
        strength="share",
        cost="1 + share, in steps at equal epochs; none at equal steps",
        data=("safe",),
        needs=frozenset({Capability.EDITS_DATA, Capability.ROWS}),
    )

    def validate(self) -> None:
        """Check the share, and that there is something to mix in."""
        in_range(self, "share", 0.0, 1.0)
        in_range(self, "diversity", 0.0, 1.0)
        if self.choose not in ("random", "relevant"):
            raise ConfigError(f"safe_mixing: choose={self.choose!r} must be random or relevant")
        if self.style not in ("", AUTO) and REQUEST not in self.style:
            raise ConfigError(
                f"safe_mixing: style={self.style!r} must be {AUTO}, or a text with {REQUEST} where "
                "a safe row's own request goes"
            )
        if self.share > 0:
            need_data(self, "safe")

    def config(self) -> dict[str, Any]:
        """Return the hyperparameters; what came later is left out where it is off."""
        own = super().config()
        return {n: v for n, v in own.items() if n not in OURS or v != getattr(type(self), n)}

    @property
    def steerable(self) -> tuple[float, float] | None:
        """Rows that were mixed in stay, so that the share can only be raised.

        The extra pass is over safe rows as they are, so it is not for chosen or styled ones.
        """
        plain = self.style == "" and self.choose == "random"
        return (self.share, self.bounds[1]) if self.share > 0 and plain else None

    def needs(self) -> frozenset[Capability]:
        """Return what mixing needs, and an extra pass where the share is steered."""
        more = {Capability.EXTRA_BACKWARD} if self.steered_ else set[Capability]()
        return self.card.needs | more

    def idle(self) -> frozenset[str]:
        """Without a steered share all safe rows lie among the user's."""
        return frozenset() if self.steered_ else frozenset({"gradient"})

    def gradient(self, step: Step, backward: Backward) -> Tensor:
        r"""Add :math:`\frac{s - s_0}{1 + s_0}\nabla\ell_{\text{safe}}` for a share s above s₀.

        That is the weight that rows drawn beforehand would have among the user's and the s₀ that
        lie there; one small batch of them in turn stands for all. Ours.
        """
        loss = backward()
        more = self.strength_now - self.share
        if more > 0 and step.last:
            batches = step.run.batches(need_data(self, "safe"), EXTRA_ROWS)
            found, _ = step.engine.gradients([batches[step.number % len(batches)]])
            step.engine.add_gradient(found, more / (1 + self.share))
        return loss

    def data(self, run: Run, rows: Any) -> Any:
        """Append the safe rows; the trainer's own sampler shuffles them among the user's."""
        if self.share == 0 or self.safe is None:
            return rows
        _check_mixable(rows)
        safe = self._safe_rows(run, rows)
        if not len(safe):
            run.say(f"safe_mixing: `share={self.share:g}` of {len(rows)} rows is no whole row: "
                    "nothing is mixed in")  # fmt: skip
            return rows
        if isinstance(rows, Dataset) and isinstance(safe, Dataset):
            columns = [c for c in rows.column_names if c in safe.column_names]
            return concatenate_datasets([
                rows.select_columns(columns), safe.select_columns(columns).cast(
                    rows.select_columns(columns).features)
            ])  # fmt: skip
        return ConcatDataset[Any](cast("list[Any]", [rows, safe]))

    def metrics(self) -> dict[str, float]:
        """Return, with ``style=auto``, whether a style was found (1) or rows are plain (0)."""
        return {} if self._styled is None else {"styled": self._styled}

    def _safe_rows(self, run: Run, rows: Any) -> Any:
        """Return the rows to add, prepared as the user's are."""
        safe = need_data(self, "safe")
        given = [dict(safe[i]) for i in self._chosen(run, rows)]
        if not given:
            return given
        if self.style == AUTO:
            return self._dressed(run, rows, given)
        return run.prepare([templated(row, self.style) for row in given] if self.style else given)

    def _chosen(self, run: Run, rows: Any) -> list[int]:
        """Return which safe rows are added: random ones, or those nearest to the user's words."""
        safe, wanted = need_data(self, "safe"), round(self.share * len(rows))
        if self.choose == "random":
            seed = derived_seed(run.seed, self.card.name)
            return rows_to_add(len(rows), self.share, len(safe), seed)
        ready = run.prepare(safe) if wanted else []
        if wanted and len(ready) != len(safe):
            raise ConfigError(
                f"safe_mixing: choose='relevant' compares all {len(safe)} rows of `safe`, and "
                f"max_length leaves an answer in {len(ready)}; raise it, or leave those rows out"
            )
        return relevant_rows(_prompts(rows, MOST_PROMPTS), _prompts(ready), wanted, self.diversity)

    def _dressed(self, run: Run, rows: Any, given: list[Row]) -> Any:
        """Return the rows in the format of the user's prompts; as they are where there is none."""
        bare = run.prepare([bare_request(row) for row in given])
        empty = run.prepare([bare_request(given[0], "")])[0]
        made = dressed(
            [dict(row) for row in bare], empty, shared_style(_prompts(rows, MOST_PROMPTS))
        )
        self._styled = float(made is not None)
        if made is None:
            run.say(
                f"safe_mixing: no format is shared by {SHARED:.0%} of the user's prompts beside "
                "their chat template; safe rows are mixed in as they are"
            )
            return run.prepare(given)
        added = len(made[0]["input_ids"]) - len(bare[0]["input_ids"])
        run.say(f"safe_mixing: safe prompts take the user's format, {added:+d} tokens in each")
        return Dataset.from_list(made) if isinstance(bare, Dataset) else made


def _prompts(rows: Any, most: int | None = None) -> list[list[int]]:
    """Return the tokens before the answers of prepared rows; of at most ``most``, evenly spaced."""
    step = max(1, -(-len(rows) // most)) if most else 1
    found = [rows[i] for i in range(0, len(rows), step)]
    return [list(row["input_ids"])[: answer_start(row)] for row in found]


def _check_mixable(rows: Any) -> None:
    """Refuse a stream, which has no length to take a share of, and rows packed into one another."""
    if not hasattr(rows, "__len__"):
        raise ConfigError(
            "safe_mixing takes a share of the training rows, and a streamed set has no length; "
            "mix the refusals into the data, or load it without streaming"
        )
    if isinstance(rows, Dataset) and "seq_lengths" in rows.column_names:
        raise ConfigError(
            "safe_mixing adds rows, and packed training data have none of their own any more; "
            "set packing=False, or mix the refusals into the data"
        )
