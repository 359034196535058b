"""One cell of the engine matrix: a defense on an engine is equal, or refused before step 0."""

import hashlib
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple
from unittest.mock import patch

import torch

from holdfast.errors import HoldfastError, InputError
from holdfast.testing.runs import Weights, gap, require
from tests.contract.recipes import Recipe
from tests.distributed import in_processes
from tests.engines import trainers
from tests.engines.columns import Column
from tests.engines.trainers import Tuning

__all__ = ["Cell", "cell"]


class Cell(NamedTuple):
    """What a defense does on an engine."""

    state: Literal["equal", "refused"]
    apart: float
    """Largest absolute difference of a weight; 0 where it was refused."""
    said: str
    """Why it was refused; empty where it is equal."""


def cell(make: Recipe, column: Column, tuning: Tuning) -> Cell:
    """Run the cell.

    Raises:
        AssertionError: It is neither equal nor refused as it should be, or says nothing.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # What PEFT, TRL and torch find slow is not looked at here.
        if column.processes == 1:
            found, said, _ = _outcome(make, column, tuning)
        else:
            found, said = _of_all(make, column, tuning)
        if found is None:  # Without the engine it may be refused, too: a vector in 4-bit weights.
            return Cell("refused", 0.0, said)
        wanted = column.wanted(make, tuning)
    apart = gap(found, wanted)
    require(apart <= column.tolerance, f"{make.label}: {apart:.2e} from what it must be")
    return Cell("equal", apart, "")


def _of_all(make: Recipe, column: Column, tuning: Tuning) -> tuple[Weights | None, str]:
    """Return the outcome of every process, which must be one."""

    def act() -> tuple[Weights | None, str, str]:
        found, said, digest = _outcome(make, column, tuning)
        first = torch.distributed.get_rank() == 0
        return found if first else None, said, digest

    ranks = in_processes(act, count=column.processes)
    require(len({said for _, said, _ in ranks}) == 1, f"processes refuse in other words: {ranks}")
    require(len({digest for *_, digest in ranks}) == 1, "processes end with other weights")
    return ranks[0][:2]


def _outcome(make: Recipe, column: Column, tuning: Tuning) -> tuple[Weights | None, str, str]:
    """Return the weights, or None and why it was refused, and a hash of them."""
    with _watched() as built:
        try:
            found = column.run(make, tuning)
        except HoldfastError as error:
            return None, _refused(error, make, built), ""
    digest = hashlib.sha256()
    for _, weight in sorted(found.items()):
        digest.update(weight.contiguous().numpy().tobytes())
    return found, "", digest.hexdigest()


class _Built:
    """What a column builds for a defense: its trainers, and the last model's first values."""

    def __init__(self) -> None:
        self.trainers: list[Any] = []
        self.model: Any = None
        self.first: Weights = {}

    def keep(self, model: Any) -> None:
        """Remember the model as it is."""
        self.model, self.first = model, trainers.floats(model)

    def moved(self) -> list[str]:
        """Return the names of tensors that have changed."""
        now = trainers.floats(self.model)
        return [n for n, w in self.first.items() if n in now and not torch.equal(w, now[n])]


@contextmanager
def _watched() -> Generator[_Built]:
    """Keep what is built in the body for a defense; without defenses nothing is refused."""
    built, new_trainer, new_model = _Built(), trainers.new_trainer, trainers.new_model

    def trainer_of(defenses: Any, *args: Any, **kwargs: Any) -> Any:
        trainer = new_trainer(defenses, *args, **kwargs)
        if defenses:
            built.trainers.append(trainer)
            built.keep(trainer.model)
        return trainer

    def model_of(*args: Any) -> Any:
        model = new_model(*args)
        built.keep(model)  # A trainer's constructor may refuse it.
        return model

    with (
        patch.object(trainers, "new_trainer", trainer_of),
        patch.object(trainers, "new_model", model_of),
    ):
        yield built


def _refused(error: HoldfastError, make: Recipe, built: _Built) -> str:
    """Return what was said, once it is sure that nothing has happened before it."""
    said, name = " ".join(str(error).split()), make.cls.card.name
    require(isinstance(error, InputError), f"an error of a run that had started: {said}")
    require(name in said, f"the refusal does not name {name}: {said}")
    require(not built.moved(), f"the weights have changed: {said}")
    for trainer in built.trainers[-1:]:
        require(trainer.state.global_step == 0, f"refused after step 0: {said}")
        folders = [Path(trainer.args.output_dir), trainer.artifacts_dir]
        require(not any(map(_written, folders)), f"something was written: {said}")
    return said


def _written(folder: Path) -> bool:
    return folder.exists() and any(path.is_file() for path in folder.rglob("*"))
