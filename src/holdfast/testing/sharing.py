"""What a defense says beside its run: its variant, what it shares, the blocks of its report."""

import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch
from markupsafe import escape

from holdfast.artifact import Artifact, Block, split_state
from holdfast.defense import Defense, Run, Shared, Variant, implements
from holdfast.ops.randomness import isolated_rng
from holdfast.organism.scenarios import harmless_prompts
from holdfast.report.page import render
from holdfast.results.diagnose import diagnose
from holdfast.results.records import Arm, SeedRun
from holdfast.results.result import RunResult
from holdfast.testing.checks import Make
from holdfast.testing.runs import (
    FULL,
    Setting,
    differing,
    require,
    tiny_model,
    tokenizer,
    trained,
    weights_of,
)
from holdfast.training.standalone import standalone_run

__all__ = ["check_report", "check_shared", "check_variant"]

LABEL = re.compile(r"[a-z0-9_.-]*")


def check_variant(make: Make, setting: Setting = FULL) -> None:
    """A label that a name can hold; decided by hyperparameters alone; strength off compares."""
    del setting  # Nothing is trained.
    defense = make()
    said: Any = defense.variant()
    require(isinstance(said, Variant), f"variant() returns {said!r}")
    require(LABEL.fullmatch(said.label), f"{said.label!r} cannot stand in an arm's name")
    require(isinstance(said.control, bool), f"control is {said.control!r}")
    settings = {
        f.name: getattr(defense, f.name)
        for f in fields(defense)  # type: ignore[arg-type]
        if f.init and f.name not in defense.card.data
    }
    require(type(defense)(**settings).variant() == said, "the variant differs without the data")
    require(_off(make).variant().control, "at the strength off it is no control")
    if defense.card.paper.startswith("control"):
        require(said.control, "its card says control, its variant does not")


def check_shared(make: Make, setting: Setting = FULL) -> None:
    """What runs can take over is told whole, learned alike, and changes no run."""
    shared = make().shared()
    if shared is None:
        return
    _check_told(make, shared)
    with tempfile.TemporaryDirectory() as scratch:
        folders = (Path(scratch) / str(number) for number in range(10_000))
        first = _learned(make(), next(folders))
        known = _reads(make, first)
        _same(_reads(make, _learned(make(), next(folders), state=1)), known, "learned once more")
        if not shared.seeded:
            other = _learned(make(), next(folders), seed=5)
            _same(_reads(make, other), known, "not seeded and learned at another seed")
        for told, changed in _alike(make, shared):
            _same(_reads(make, _learned(changed, next(folders))), known, f"learned with {told}")
        _check_run(make, first, setting)


def _off(make: Make) -> Defense:
    """Return the defense at the strength at which it does nothing."""
    card = make().card
    return make(**{card.strength: card.off})


def _check_told(make: Make, shared: Shared) -> None:
    require(
        re.fullmatch("[a-z][a-z0-9_]*", shared.kind), f"{shared.kind!r} is no name for a folder"
    )
    require(json.loads(json.dumps(shared.made_of)) == shared.made_of, "made_of is no JSON")
    strange = set(shared.data) - set(make().card.data)
    require(not strange, f"{strange} are no data sets of the card")
    require(_off(make).shared() is None, "at the strength off it learns something")


def _of(defense: Defense) -> Shared:
    """Return what the defense shares; it has shared something before."""
    found = defense.shared()
    if found is None:
        raise AssertionError("shared() returns None where it returned something before")
    return found


def _run(seed: int) -> Run:
    return standalone_run(tiny_model(), tokenizer(), seed)


def _learned(defense: Defense, folder: Path, seed: int = 0, state: int = 0) -> Path:
    """Learn into the folder, with the global random state given, and return it."""
    run, shared = _run(seed), _of(defense)
    folder.mkdir()
    before = weights_of(run.model)
    with isolated_rng(state):
        drawn = torch.get_rng_state()
        shared.learn(run, folder)
        require(torch.equal(torch.get_rng_state(), drawn), "learn() moves the global random state")
    require(not differing(weights_of(run.model), before), "learn() moves the model's weights")
    require(any(folder.rglob("*")), "learn() writes nothing")
    return folder


def _reads(make: Make, folder: Path) -> dict[str, Any]:
    """Return the learned fields of a defense that takes the folder over, before step 0."""
    taken = _of(make()).take(folder)
    require(type(taken) is type(make()), "take() returns another defense")
    require(taken.shared() is None, "what is taken over would be learned again")
    with isolated_rng(0):
        if implements(taken, "before"):
            taken.before(_run(0))
    return taken.state()


def _same(found: dict[str, Any], known: dict[str, Any], told: str) -> None:
    """Raise where two states differ in a bit."""
    (left, plain), (right, other) = split_state(found), split_state(known)
    require(not differing(left, right), f"{told}: {differing(left, right)[:1]} differ")
    require(plain == other, f"{told}: {plain} and {other}")


def _alike(make: Make, shared: Shared) -> Iterator[tuple[str, Defense]]:
    """Yield, with what was changed, defenses that say they share with ``make()``."""
    given = make()
    hints = get_type_hints(type(given))
    rows = {
        name: harmless_prompts(40, seed=9) for name in given.card.data if name not in shared.data
    }
    settings = [
        (f.name, value)
        for f in fields(given)  # type: ignore[arg-type]
        if f.init and f.name not in given.card.data
        for value in _others(getattr(given, f.name), hints[f.name])
    ]
    for name, value in [*rows.items(), *settings]:
        try:
            changed = make(**{name: value})
            changed.validate()
        except Exception:  # noqa: BLE001, S112  # Another value need not be one that can be.
            continue
        other = changed.shared()
        if other is not None and (other.kind, other.made_of) == (shared.kind, shared.made_of):
            yield f"another {name}", changed


def _others(value: Any, hint: Any) -> list[Any]:
    """Return other values of a field, small ones, by its type."""
    if get_origin(hint) is Literal:
        return [one for one in get_args(hint) if one != value]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, tuple):
        return []
    kinds: Sequence[Any] = get_args(hint) or (hint,)
    whole, half = [(value or 0) + 1] if int in kinds else [], [(value or 1.0) / 2]
    return whole or (half if float in kinds else [])


def _check_run(make: Make, folder: Path, setting: Setting) -> None:
    """A run with what was taken over is the run that learns it itself, bit for bit."""
    taken = _of(make()).take(folder)
    left, right = trained([taken], setting, seed=0), trained([make()], setting, seed=0)
    changed = differing(left.weights, right.weights)
    require(not changed, f"taken over, {len(changed)} tensors of the run differ")
    require(left.losses == right.losses, "taken over, the losses differ")


def check_report(make: Make, setting: Setting) -> None:
    """What its artifact reports is JSON or a block, and a page shows each block by its title."""
    made: list[Artifact] = trained([make()], setting).trainer.artifacts
    titles: list[str] = []
    for name, value in ((n, v) for artifact in made for n, v in artifact.report.items()):
        try:
            json.dumps(asdict(value) if isinstance(value, Block) else value)
        except TypeError as error:
            raise AssertionError(f"{name} of the report is no JSON and no block: {error}") from None
        if isinstance(value, Block):
            require(value.title.strip(), f"the block {name} has no title")
            titles.append(value.title)
    require(len(set(titles)) == len(titles), f"two blocks have one title: {titles}")
    run = SeedRun(seed=0, diagnostics=diagnose(made))
    page = render(RunResult.of("tune", [Arm(defense=make().card.name, runs=[run])]))
    hidden = [title for title in titles if str(escape(title)) not in page]
    require(not hidden, f"the page does not show {hidden}")
