"""One cell of the engine matrix: a defense on an engine is equal, or refused before step 0."""

import warnings
from pathlib import Path
from typing import Any, Literal, NamedTuple
from unittest.mock import patch

import torch

from holdfast.errors import HoldfastError, InputError
from holdfast.testing.runs import gap, require
from tests.contract.recipes import Recipe
from tests.engines import columns, trainers
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


class _Watched:
    """Keeps what a column builds for a defense: trainers, and tensors with their first values."""

    def __init__(self) -> None:
        self.trainers: list[Any] = []
        self._tensors: list[tuple[Any, Any]] = []
        self._trainer, self._model = trainers.new_trainer, trainers.new_model

    def new_trainer(self, defenses: Any, *args: Any, **kwargs: Any) -> Any:
        """Build the trainer that is asked for."""
        trainer = self._trainer(defenses, *args, **kwargs)
        if defenses:
            self.trainers.append(trainer)
            self._keep(trainer.model)
        return trainer

    def new_model(self, *args: Any) -> Any:
        """Load the model that is asked for; a trainer's constructor may refuse it."""
        model = self._model(*args)
        self._keep(model)
        return model

    def _keep(self, model: Any) -> None:
        self._tensors = [(p, p.detach().clone()) for p in model.parameters()]

    def moved(self) -> int:
        """Return how many tensors of the last model have changed."""
        return sum(not torch.equal(p, first) for p, first in self._tensors)


def cell(make: Recipe, column: Column, tuning: Tuning) -> Cell:
    """Run the cell.

    Raises:
        AssertionError: It is neither equal nor refused as it should be, or says nothing.
    """
    watched = _Watched()
    with (
        warnings.catch_warnings(),
        patch.object(trainers, "new_model", watched.new_model),
        patch.object(trainers, "new_trainer", watched.new_trainer),
        patch.object(columns, "new_trainer", watched.new_trainer),
    ):
        warnings.simplefilter("ignore")  # What PEFT, TRL and torch find slow is not looked at here.
        try:
            found, wanted = column.run(make, tuning)
        except HoldfastError as error:
            return _refused(error, make, watched)
    apart = gap(found, wanted)
    require(apart <= column.tolerance, f"{make.label}: {apart:.2e} from what it must be")
    return Cell("equal", apart, "")


def _refused(error: HoldfastError, make: Recipe, watched: _Watched) -> Cell:
    said, name = " ".join(str(error).split()), make.cls.card.name
    require(isinstance(error, InputError), f"an error of a run that had started: {said}")
    require(name in said, f"the refusal does not name {name}: {said}")
    require(not watched.moved(), f"the weights have changed: {said}")
    for trainer in watched.trainers[-1:]:
        require(trainer.state.global_step == 0, f"refused after step 0: {said}")
        require(not any(map(_written, _folders(trainer))), f"something was written: {said}")
    return Cell("refused", 0.0, said)


def _folders(trainer: Any) -> list[Path]:
    return [Path(trainer.args.output_dir), trainer.artifacts_dir]


def _written(folder: Path) -> bool:
    return folder.exists() and any(path.is_file() for path in folder.rglob("*"))
