"""``--accelerate-config``: the same command again, started in several processes by accelerate."""

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, NoReturn

from holdfast.cli.shell.flags import flag_of
from holdfast.commands.several.kinds import BY_ACCELERATE
from holdfast.errors import ConfigError, nearest, reason_of
from holdfast.files.outputs.processes import place, told_once
from holdfast.inputs.configs import TuneConfig
from holdfast.inputs.yaml_files import mapping_in, text_of

__all__ = ["launch", "launch_line"]


def launch(config: TuneConfig, file: Path, more: Sequence[str] = ()) -> NoReturn:
    """Become accelerate's launcher, which starts the command in the processes that ``file`` asks.

    Raises:
        ConfigError: The file cannot be used, or a launcher has started this process already.
    """
    line = launch_line(config, file, more)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(line[0], line)  # noqa: S606  # Signals and the exit code are the launcher's own.


def launch_line(config: TuneConfig, file: Path, more: Sequence[str] = ()) -> list[str]:
    """Return the command line of accelerate's launcher for a command of these options.

    Raises:
        ConfigError: See ``launch``.
    """
    _check(file)
    if place()[1] > 1:
        raise told_once(
            ConfigError(
                f"`accelerate_config={file}`: a launcher has started this process already: give it "
                "to `holdfast` alone, or leave it out"
            )
        )
    module = ["-m", "accelerate.commands.launch", "--config_file", str(file), "-m", "holdfast"]
    stage = str(getattr(config, "stage", "tune"))
    return [sys.executable, *module, stage, *_words(config), *more]


def _words(config: Any) -> Iterator[str]:
    """Yield the flags that make this configuration on the command line."""
    for item in fields(config):
        value = getattr(config, item.name)
        empty = item.default_factory() if item.default_factory is not MISSING else item.default
        if value == empty or value is None:
            continue
        flag = flag_of(item.name)
        if isinstance(value, bool):
            yield flag if value else f"--no-{flag[2:]}"
            continue
        for one in value if isinstance(value, list | tuple) else [value]:
            yield from (flag, str(one))


def _check(file: Path) -> None:
    """Refuse what accelerate cannot read, and processes that would hold parts of the model."""
    # Heavy: only for who asks for it.
    from accelerate.commands.config.config_args import ClusterConfig  # noqa: PLC0415

    where = f"`accelerate_config={file}`"
    said = mapping_in(text_of(file, where), where)
    place_ = said.get("compute_environment", "LOCAL_MACHINE")
    if place_ != "LOCAL_MACHINE":
        raise ConfigError(f"{where}: compute_environment={place_}: expected LOCAL_MACHINE")
    kind = str(said.get("distributed_type"))
    if kind not in BY_ACCELERATE:
        hint = " (accelerate starts CPU processes by mpirun alone: use torchrun for them)"
        raise ConfigError(
            f"{where}: distributed_type={kind}: expected one of {', '.join(BY_ACCELERATE)}"
            f"{hint if kind == 'MULTI_CPU' else nearest(kind, BY_ACCELERATE)}"
        )
    try:
        ClusterConfig.from_yaml_file(str(file))
    except Exception as error:
        raise ConfigError(f"{where}: accelerate does not read it: {reason_of(error)}") from error
