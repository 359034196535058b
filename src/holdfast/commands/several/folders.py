"""The folders of a run of several processes: the first writes there, the others read and wait."""

import os
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from holdfast.commands.several.ending import ending_together
from holdfast.commands.several.ranks import Ranks
from holdfast.commands.tune_folders import TuneFolders
from holdfast.errors import ConfigError
from holdfast.files.sealing.checkpoints import sealed_steps
from holdfast.inputs.configs import TuneConfig

__all__ = ["restarted", "running_in"]


def restarted(config: TuneConfig, ranks: Ranks) -> TuneConfig:
    """Return the configuration of a run that its launcher has started again: it goes on.

    ``torchrun --max-restarts`` gives the same command once more, without ``resume``.
    """
    if os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") in ("", "0"):
        return config
    folders = TuneFolders(config)
    left = bool(sealed_steps(folders.checkpoints)) or folders.output.swap.pending
    return replace(config, resume=ranks.shared(left))


@contextmanager
def running_in(folders: TuneFolders, settings: Mapping[str, Any], ranks: Ranks) -> Generator[bool]:
    """Hold the folders for the body in the first process; see ``TuneFolders.running``.

    Raises:
        ConfigError: Another process has read other rows, options or weights than the first.
    """
    with ExitStack() as stack:
        with ranks.agreed():
            _check_alike(settings, ranks)
            finished = ranks.first and stack.enter_context(folders.running(settings))
        finished = ranks.shared(finished)
        lock = folders.output.target.parent / f".{folders.output.target.name}.lock"
        with ending_together(ranks, lock, folders.kept):
            yield finished


def _check_alike(settings: Mapping[str, Any], ranks: Ranks) -> None:
    """Raise where this process would train on something else than the first one."""
    for name, first in dict(ranks.shared(dict(settings))).items():
        if settings.get(name) != first:
            raise ConfigError(
                f"its {name} is not that of process 0: give every process the same files and "
                "options"
            )
