"""Where a tuning run writes: the model's folder, and apart from it what defenses leave behind."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from holdfast.artifact import Artifact
from holdfast.commands.exports import export_artifacts
from holdfast.commands.run_log import RunLog, forget_log
from holdfast.commands.tune_settings import check_same
from holdfast.errors import ConfigError, InputError, RunError
from holdfast.files.folders import Inputs, ModelFolders
from holdfast.files.sealing.checkpoints import newest_whole, sealed_steps
from holdfast.files.sealing.documents import read_sealed, write_sealed
from holdfast.files.sealing.manifest import begin_run
from holdfast.inputs.configs import TuneConfig
from holdfast.inputs.judging import verdicts_beside, verdicts_in
from holdfast.training.failures import leaving

__all__ = ["TuneFolders"]

_RUN = "run.json"


class TuneFolders(ModelFolders):
    """The two partial folders of a run and what becomes of them."""

    def __init__(self, config: TuneConfig) -> None:
        super().__init__(
            config.output, config.artifacts, export=config.export, overwrite=config.overwrite
        )
        self.config = config
        self.checkpoints = self.output.partial / "checkpoints"
        self._private = self.artifacts.partial / "state"
        self.log = RunLog()
        self._settings: dict[str, Any] = {}
        self._finished = False

    def check(self, inputs: Inputs = ()) -> None:
        """Raise ``ConfigError`` where the run may not write; see ``ModelFolders``."""
        if self.config.resume:
            self.output.check_place()
            if self.output.swap.pending:
                return  # The stopped run had finished its model: nothing more will be written.
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
        self._settings = dict(settings)
        with self.held():
            if self.output.swap.pending:
                check_same(self.output.swap.about, self._settings)
                self.output.swap.settle(overwrite=self.config.overwrite)
                self.artifacts.discard()
                yield True
                return
            self._begin()
            self.log.into(self.output.partial)
            with leaving(self.kept), self.log.of(self.config.stage):
                yield False

    def _begin(self) -> None:
        """Make the partial folders, or check that a stopped run had the same settings."""
        if self.config.resume:
            check_same(self._stopped(), self._settings)
            return
        for folder in (self.output, self.artifacts):
            folder.begin()
        forget_log(self.output.target)
        begin_run(self.checkpoints)
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
        if self.output.swap.pending or self._finished:
            try:
                if self.output.swap.pending:
                    self.output.swap.settle()
            except RunError as error:
                return str(error)
            return f"the model was finished and is in {self.output.target}"
        if steps := self._steps():
            kept = f"checkpoint-{max(steps)} is kept in {self.checkpoints}"
            return f"{kept}; the same command with `resume=True` goes on from it"
        self.output.discard()
        self.artifacts.discard()
        left = self.log.left(self.output.target)
        left += verdicts_in(verdicts_beside(self.output.target))
        return f"no checkpoint had been written, so nothing was kept{left}"

    def finish(self, artifacts: Sequence[Artifact]) -> None:
        """Put both folders in place; checkpoints and private state are dropped.

        The artifacts come first: a model whose artifacts are missing would look finished.
        """
        self.log.say("finished")
        moves = [self.artifacts.move] if artifacts else []
        self.output.swap.begin([*moves, self.output.move], about=self._settings)
        if not artifacts:
            self.artifacts.discard()
        self.output.swap.settle()
        self._finished = True
        export_artifacts(self.export, artifacts)
