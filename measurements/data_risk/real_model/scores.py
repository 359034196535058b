"""Scores of the chat model's sets: each row once, in its party's pool, whatever sets it is in."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import get_peft_model
from safetensors.torch import load_file, save_file
from transformers import set_seed

from holdfast.analysis.rows import Materials, Scorer, ready
from holdfast.analysis.rows.components.norm import norm
from holdfast.analysis.rows.components.tiles import encoded, put_back, tiles_of
from holdfast.analysis.rows.scored import Scored
from holdfast.bench.cell.runs import adapter_of
from holdfast.defense import listed
from holdfast.defenses import SecurityVectors
from holdfast.errors import DataError
from holdfast.evaluation.drift import (
    Openings,
    apart_note,
    find_openings,
    probe_ids,
    refused_by,
    told_apart,
)
from holdfast.inputs.judging import refusal_judge
from holdfast.ops.engine import LocalEngine
from holdfast.ops.low_rank import LowRank
from holdfast.training.standalone import standalone_run
from measurements.data_risk.keeping import kept
from measurements.data_risk.real_model.sets import examples, rows_of
from measurements.data_risk.real_model.work import TRAINING, Work
from measurements.data_risk.sets import RiskSet

__all__ = ["Scores", "scores_of"]

PROBED, ANCHORS, REFERENCES = 64, 100, 60
"""Rows of the defender that are probes, anchors, and of each reference set."""


@dataclass(frozen=True)
class Scores:
    """What scoring the sets of a study takes, made where it is first needed."""

    work: Work

    def prepare(self) -> None:
        """Train the base's security vector and find its openings, before workers share them."""
        _ = self._vector
        print(json.dumps(self._openings[1]), flush=True)

    @cached_property
    def scorer(self) -> Scorer:
        """The model with an adapter at its start, and what rows are held against."""
        model, tokenizer = self._in_float32()
        own, low_rank = self.work.own, LowRank.from_tensors(self._vector)
        harmful, safe = (examples(own[name][:ANCHORS]) for name in ("harmful", "safe"))
        set_seed(0)
        adapter: Any = adapter_of(TRAINING, model)
        return ready(LocalEngine(get_peft_model(model, adapter)), tokenizer, Materials(
            probes=examples(own["harmful"][: PROBED // 2]), openings=self._openings[0],
            jailbreak=low_rank.hooked, harmful=harmful, safe=safe,
            references={
                "general": examples(own["instructions"][:ANCHORS]),
                "gsm8k": examples(own["reference_gsm8k"][:REFERENCES]),
                "refusals": examples(own["safe"][ANCHORS:][:REFERENCES]),
                "harmful": examples(own["harmful"][ANCHORS:][:REFERENCES]),
            },
        ))  # fmt: skip

    def scored(self, one: RiskSet, seed: int) -> dict[str, Any]:
        """Return each column's value of each row of the set, its mdf, and what is harmful."""
        file = self.work.out / "scores" / f"{one.name}-s{seed}.json"
        return kept(file, lambda: self._scored(rows_of(one, seed, self.work.own)))

    def pool(self, party: str) -> Scored:
        """Return the values and states of all rows of a party, scored once."""
        states = self.work.out / "pools" / f"{party}.safetensors"
        said = kept(states.with_suffix(".json"), lambda: self._pool(party, states))
        return Scored(said["values"], tuple(said["keys"]), load_file(states)["states"])

    @cached_property
    def _vector(self) -> dict[str, Any]:
        file = self.work.out / "vector.safetensors"  # A jailbreak: it stays here.
        if not file.exists():
            model, tokenizer = self._in_float32()
            made = SecurityVectors(
                harmful=examples(self.work.own["harmful"][:ANCHORS]),
                benign=examples(self.work.own["instructions"][:200]), max_benign_kl=100, epochs=6,
            )  # fmt: skip
            made.before(standalone_run(model, tokenizer))
            _save_whole({k: v.detach().cpu() for k, v in made.vector_.items()}, file)
        return load_file(file)

    @cached_property
    def _openings(self) -> tuple[Openings, dict[str, Any]]:
        """The base's openings, and how far they tell its prompts apart; found once."""
        said = kept(self.work.out / "openings.json", self._found_openings)
        return Openings.of_json(said), said

    def _found_openings(self) -> dict[str, Any]:
        model, tokenizer = self.work.subject.load()
        rows = [listed(examples(self.work.own[n][:PROBED])) for n in ("harmful", "instructions")]
        asked, beside = ([probe_ids(r["prompt"], tokenizer) for r in each] for each in rows)
        agreeing = LowRank.from_tensors(self._vector).hooked(model)
        refused = refused_by(refusal_judge(self.work.subject.name), rows[0])
        found = find_openings(model, tokenizer, asked, beside, agreeing, refused)
        leaning, apart = told_apart(model, asked, beside, found)
        words = {side: [tokenizer.decode(ids) for ids in own]
                 for side, own in found.as_json().items()}  # fmt: skip
        return {**found.as_json(), "words": words, "leaning": leaning, "apart": apart,
                "note": apart_note(apart)}  # fmt: skip

    def _in_float32(self) -> tuple[Any, Any]:
        """Load the model as scores need it: a push is a difference of losses."""
        return replace(self.work.subject, training=replace(TRAINING, dtype="float32")).load()

    def _pool(self, party: str, states: Path) -> dict[str, Any]:
        made, rows = self.scorer, examples(self.work.own[party])
        found = made.values(rows)
        given = encoded(rows, made.tokenizer)
        tiles = tiles_of(given)
        values = {name: list(own) for name, own in found.values.items()}
        values["norm"] = put_back(tiles, norm(made.engine, tiles), len(given))
        _save_whole({"states": _whole(found)}, states)
        return {"values": values, "keys": list(found.keys)}

    def _scored(self, rows: Dataset) -> dict[str, Any]:
        """Return the scores of a set, each row's from its party's pool, mdf from a steered pass."""
        places = list(zip(rows["party"], rows["place"], strict=True))
        pools = {party: self.pool(party) for party in dict.fromkeys(rows["party"])}
        columns = {
            name: [pools[party].values[name][place] for party, place in places]
            for name in next(iter(pools.values())).values
        }
        keys = tuple(pools[party].keys[place] for party, place in places)
        states = torch.stack([_whole(pools[party])[place] for party, place in places])
        shown = {name: own for name, own in columns.items() if name != "norm"}
        found = self.scorer.told(Scored(shown, keys, states))
        harmful = [category == "harmful" for category in rows["category"]]
        columns["guard"] = [float(one) for one in harmful]  # A guard that reads without error.
        return {
            "columns": columns, "mdf": found.sets["mdf"].value,
            "above": {n: one.above for n, one in found.sets.items() if one.above is not None},
            "harmful": harmful,
        }  # fmt: skip


@cache
def scores_of(work: Work) -> Scores:
    """Return this process's one scorer of a study."""
    return Scores(work)


def _save_whole(tensors: Mapping[str, torch.Tensor], file: Path) -> None:
    """Put a whole file in its place: other workers may be writing it, or reading it already."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(f".partial-{os.getpid()}")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial)
    partial.replace(file)


def _whole(scored: Scored) -> torch.Tensor:
    """Return the states of rows that all have an answer token, so that places are theirs."""
    if scored.states is None or scored.left:
        raise DataError("a row of the study has no answer token: its states have no place")
    return scored.states
