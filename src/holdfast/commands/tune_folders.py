"""Where a tuning run writes: the model's folder, and apart from it what defenses leave behind."""

import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from holdfast.artifact import Artifact
from holdfast.errors import ConfigError, InputError, RunError
from holdfast.files.folders import Inputs, ModelFolders
from holdfast.files.sealed import read_sealed, write_sealed
from holdfast.inputs.configs import TuneConfig
from holdfast.inputs.values import as_json
from holdfast.training.checkpoints import newest_whole, sealed_steps
from holdfast.training.failures import leaving

__all__ = ["TuneFolders"]

_RUN = "run.json"
# What may differ between a stopped run and the one that goes on.
_FREE = ("resume", "overwrite", "show_harmful")


class TuneFolders(ModelFolders):
    """The two partial folders of a run and what becomes of them."""

    def __init__(self, config: TuneConfig) -> None:
        super().__init__(config.output, config.artifacts, overwrite=config.overwrite)
        self.config = config
        self.checkpoints = self.output.partial / "checkpoints"
        self._private = self.artifacts.partial / "state"
        self._settings: dict[str, Any] = {}

    def check(self, inputs: Inputs = ()) -> None:
        """Raise ``ConfigError`` where the run may not write; see ``ModelFolders``."""
        if self.config.resume:
            self.output.settle()
            if self.output.settled is not None:
                return  # The stopped run had finished its model: nothing will be written.
        super().check(inputs)
        partial = self.output.partial
        if self.config.resume and newest_whole(self.checkpoints, self._private) is None:
            raise ConfigError(f"`resume`: nothing to go on from: no checkpoint in {partial}")
        if self._steps() and not (self.config.resume or self.config.overwrite):
            raise ConfigError(
                f"{partial}: holds a run that was stopped: add `resume=True` to go on with it, or "
                "`overwrite=True` to start anew"
            )

    def _steps(self) -> list[int]:
        """Return the steps of the checkpoints in the partial folder that were written whole."""
        return sealed_steps(self.checkpoints)

    @contextmanager
    def running(self, settings: Mapping[str, Any]) -> Generator[bool]:
        """Hold both folders for a run of these ``settings``, and keep what it leaves if it stops.

        Gives the body True where the stopped run had finished its model: all is in place.

        Raises:
            ConfigError: The stopped run had other settings (names the first), or another run works
                in the folders.
        """
        self._settings = as_json(settings)
        with self.held():
            if self.output.settled is not None and self.config.resume:
                _check_same(self.output.settled, self._settings)
                yield True
                return
            self._begin()
            with leaving(self.kept):
                yield False

    def _begin(self) -> None:
        """Make the partial folders, or check that a stopped run had the same settings."""
        if self.config.resume:
            _check_same(self._stopped(), self._settings)
            return
        for folder in (self.output, self.artifacts):
            folder.begin()
        write_sealed(self.output.partial / _RUN, self._settings)

    def _stopped(self) -> dict[str, Any]:
        """Return the settings of the run that was stopped."""
        try:
            return read_sealed(self.output.partial / _RUN)
        except InputError as error:
            raise ConfigError(
                f"`resume`: {self.output.partial} is not whole: {error}: start anew with "
                "`overwrite=True`"
            ) from error

    def kept(self) -> str:
        """Say what a stopped run has left, and how to go on; without a checkpoint remove it."""
        if self.output.swap.pending:
            try:
                self.output.swap.settle()
            except RunError as error:
                return str(error)
            return f"the model was finished and is in {self.output.target}"
        if steps := self._steps():
            kept = f"checkpoint-{max(steps)} is kept in {self.checkpoints}"
            return f"{kept}; the same command with `resume=True` goes on from it"
        self.output.discard()
        self.artifacts.discard()
        return "no checkpoint had been written, so nothing was kept"

    def finish(self, artifacts: Sequence[Artifact]) -> None:
        """Put both folders in place; checkpoints and private state are dropped.

        The artifacts come first: a model whose artifacts are missing would look finished.
        """
        moves = [self.artifacts.move] if artifacts else []
        self.output.swap.begin([*moves, self.output.move], about=self._settings)
        self.output.swap.settle()
        self.artifacts.discard()


def _check_same(was: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for name in sorted(was.keys() | wanted.keys()):
        if name not in _FREE and was.get(name) != wanted.get(name):
            raise ConfigError(
                f"`resume`: {name} was {_short(was.get(name))} and is now "
                f"{_short(wanted.get(name))}: give what the stopped run had, or start anew "
                "with `overwrite=True`"
            )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
