"""Where a tuning run writes: the model's folder, and apart from it what defenses leave behind."""

import json
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.artifact import Artifact
from holdfast.errors import ConfigError
from holdfast.files.folders import ModelFolders
from holdfast.inputs.configs import TuneConfig
from holdfast.inputs.values import as_json

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

    def check(self, inputs: Collection[Path | str | None] = ()) -> None:
        """Raise ``ConfigError`` where the run may not write; writes nothing."""
        super().check(inputs)
        partial = self.output.partial
        if self.config.resume and not self._steps():
            raise ConfigError(f"`resume`: nothing to go on from: no checkpoint in {partial}")
        if self._steps() and not (self.config.resume or self.config.overwrite):
            raise ConfigError(
                f"{partial}: holds a run that was stopped: add `resume=True` to go on with it, or "
                "`overwrite=True` to start anew"
            )

    def _steps(self) -> list[int]:
        """Return the steps of the checkpoints in the partial folder that were written whole."""
        states = self.checkpoints.glob("checkpoint-*/trainer_state.json")
        return [int(state.parent.name.rsplit("-", 1)[-1]) for state in states]

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Make the partial folders, or check that a stopped run had the same ``settings``.

        Raises:
            ConfigError: The stopped run had other settings; names the first.
        """
        wanted = as_json(settings)
        if self.config.resume:
            self._check_same(wanted)
            return
        for folder in (self.output, self.artifacts):
            folder.begin()
        (self.output.partial / _RUN).write_text(json.dumps(wanted), encoding="utf-8")

    def _check_same(self, wanted: Mapping[str, Any]) -> None:
        try:
            was = json.loads((self.output.partial / _RUN).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"`resume`: {self.output.partial} is not whole: start anew with `overwrite=True`"
            ) from error
        for name in sorted(was.keys() | wanted.keys()):
            if name not in _FREE and was.get(name) != wanted.get(name):
                raise ConfigError(
                    f"`resume`: {name} was {_short(was.get(name))} and is now "
                    f"{_short(wanted.get(name))}: give what the stopped run had, or start anew "
                    "with `overwrite=True`"
                )

    def kept(self) -> str:
        """Say what a stopped run has left, and how to go on; without a checkpoint remove it."""
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
        shutil.rmtree(self.artifacts.partial / "state", ignore_errors=True)
        if artifacts:
            self.artifacts.finish()
        else:
            self.artifacts.discard()
        shutil.rmtree(self.checkpoints, ignore_errors=True)
        (self.output.partial / _RUN).unlink(missing_ok=True)
        self.output.finish()


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
