"""Scores of a data set's rows, through a model that ``ready`` has made ready."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from holdfast.analysis.rows.columns import (
    COMPONENTS,
    NOT_VALIDATED,
    Column,
    RowScores,
    SetScore,
    top_mean,
)
from holdfast.analysis.rows.components.anchor import anchor_scores
from holdfast.analysis.rows.components.gap import gap
from holdfast.analysis.rows.components.losses import losses
from holdfast.analysis.rows.components.mdf import mdf
from holdfast.analysis.rows.components.norm import norm
from holdfast.analysis.rows.components.push import Direction, Step, push
from holdfast.analysis.rows.components.states import last_states
from holdfast.analysis.rows.components.tiles import (
    Tile,
    answer_tokens,
    encoded,
    put_back,
    stacked,
    tiles_of,
)
from holdfast.analysis.rows.materials import Materials
from holdfast.analysis.rows.references import References
from holdfast.analysis.rows.scored import Scored, keys_of
from holdfast.defense import Examples, listed
from holdfast.errors import DataError
from holdfast.evaluation.drift import Openings, lead, probe_ids
from holdfast.ops.engine import Engine

__all__ = ["Scorer", "padding"]


@dataclass(frozen=True)
class Scorer:
    """A model with everything that rows are held against; ``ready`` makes one."""

    engine: Engine
    tokenizer: Any
    materials: Materials
    layers: tuple[int, ...]
    toward: Direction | None = None
    """Where refusals rise; None without probes, or on a model that does not refuse."""
    step: Step | None = None
    anchors: tuple[Tensor, Tensor] | None = None
    """States of harmful and safe anchors, shape (anchors, layers, hidden)."""
    center: Tensor | None = None
    """Mean state of the general reference, shape (layers, hidden)."""
    references: Mapping[str, References] = field(default_factory=dict[str, References])
    """Component → reference scores."""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    """What a calibration of this base says of each column."""
    combined: bool = False
    """Whether that calibration allows the mean rank."""
    notes: tuple[str, ...] = ()

    def scores(self, rows: Examples) -> RowScores:
        """Return the columns of a data set, its own scores, and where they stand.

        Raises:
            DataError: There are no rows, or none has an answer token.
            ModelError: A row cannot be rendered.
        """
        return self.told(self.values(rows))

    def values(self, rows: Examples) -> Scored:
        """Return the bare values of rows, all of them or a block of 1,024.

        Raises:
            DataError: There are no rows.
            ModelError: A row cannot be rendered.
        """
        given = encoded(rows, self.tokenizer, self.materials.max_length)
        tiles, states = tiles_of(given, padding(self.tokenizer)), None
        out: dict[str, list[float | None]] = {name: [None] * len(given) for name in self._names}
        if tiles:
            before = losses(self.engine, tiles)
            found = {"loss": before} | self._passes(tiles, before)
            out |= {name: put_back(tiles, parts, len(given)) for name, parts in found.items()}
        if tiles and (self.anchors is not None or self.toward is not None):
            parts = last_states(self.engine, tiles, self.layers)
            states = stacked(tiles, parts)
            if self.anchors is not None and self.center is not None:
                near = [anchor_scores(part, *self.anchors, self.center) for part in parts]
                out["anchor"] = put_back(tiles, near, len(given))
        out["length"] = [float(count) or None for count in answer_tokens(given)]
        return Scored({name: out[name] for name in self._names}, keys_of(given), states)

    def told(self, scored: Scored) -> RowScores:
        """Return what the values of a whole data set come to.

        Raises:
            DataError: No row has an answer token.
        """
        if scored.left == len(scored.keys):
            raise DataError(
                f"none of {scored.left} rows has an answer token within "
                f"`max_length={self.materials.max_length}`: nothing can be scored"
            )
        columns = {name: self._column(name, own) for name, own in scored.values.items()}
        sets = {name: self._set_score(name, scored.distinct(name)) for name in columns}
        return RowScores(
            columns,
            sets | self._steered(scored.states),
            _mean_rank(columns) if self.combined else (),
            label=_label(self.labels),
            labels=self.labels,
            notes=(*self.notes, *scored.notes),
            facts=self.facts(),
        )

    def facts(self) -> dict[str, Any]:
        """Return what the scores are made with, as JSON."""
        made: dict[str, Any] = {"hashes": self.materials.hashes(), "layers": list(self.layers)}
        made["max_length"] = self.materials.max_length
        if self.toward is not None and self.step is not None:
            made |= {"t": self.step.t, "change_at_t": self.step.change}
            made |= {"lead": self.toward.lead, "gradient_norm": self.toward.norm}
        return made

    @property
    def _names(self) -> list[str]:
        """The columns, in order."""
        shown = {
            "push": self.toward is not None,
            "gap": self.materials.jailbreak is not None,
            "anchor": self.anchors is not None,
            "norm": self.materials.gradients,
        }
        return [*(name for name, there in shown.items() if there), "length", "loss"]

    def _passes(
        self, tiles: Sequence[Tile], before: Sequence[Tensor]
    ) -> dict[str, Sequence[Tensor]]:
        found: dict[str, Sequence[Tensor]] = {}
        if self.toward is not None and self.step is not None:
            found["push"] = push(self.engine, tiles, self.toward.unit, self.step.t)
        if self.materials.jailbreak is not None:
            on = self.materials.jailbreak(self.engine.model)
            found["gap"] = gap(self.engine, tiles, before, on)
        if self.materials.gradients:
            found["norm"] = norm(self.engine, tiles)
        return found

    def _column(self, name: str, values: Sequence[float | None]) -> Column:
        known = self.references.get(name)
        return Column(name, tuple(values), () if known is None else known.percentiles(values))

    def _set_score(self, name: str, values: Sequence[float | None]) -> SetScore:
        known = self.references.get(name)
        return SetScore(top_mean(values)) if known is None else known.set_score(values)

    def _steered(self, states: Tensor | None) -> dict[str, SetScore]:
        """Return mdf of the set where there is what it needs."""
        openings = self.materials.openings
        if states is None or self.center is None or openings is None or self.toward is None:
            return {}
        return {"mdf": SetScore(self._mdf(states, self.center, openings))}

    def _mdf(self, states: Tensor, center: Tensor, openings: Openings) -> float:
        prompts = [
            probe_ids(row["prompt"], self.tokenizer) for row in listed(self.materials.probes)
        ]

        def measured() -> float:
            return float(lead(self.engine.model, prompts, openings).mean())

        return mdf(self.engine.model, self.layers, states, center, measured)


def padding(tokenizer: Any) -> int:
    """Return what fills a batch."""
    named = (getattr(tokenizer, f"{kind}_token_id", None) for kind in ("pad", "eos"))
    return next((token for token in named if token is not None), 0)


def _label(labels: Mapping[str, str]) -> str:
    """Return what may be said of the scores as a whole: which columns have cleared the bar."""
    cleared = [name for name, said in labels.items() if not said.startswith(NOT_VALIDATED)]
    return f"validated on this model: {', '.join(cleared)}" if cleared else NOT_VALIDATED


def _mean_rank(columns: Mapping[str, Column]) -> tuple[float | None, ...]:
    """Return each row's mean percentile over the components, in [0, 1]."""
    shown = [c.percentiles for name, c in columns.items() if name in COMPONENTS and c.percentiles]

    def mean(row: Sequence[float | None]) -> float | None:
        known = [value for value in row if value is not None]
        return sum(known) / len(known) / 100 if known else None

    return tuple(mean(row) for row in zip(*shown, strict=True))
