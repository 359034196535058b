"""Freeze attack prompts in a file, before any model is loaded."""

from holdfast.commands.redteaming.plan import plan_to_freeze
from holdfast.commands.redteaming.unused import refuse_beside_freeze
from holdfast.errors import ConfigError
from holdfast.evaluation.redteam import Frozen
from holdfast.inputs.configs import RedteamConfig
from holdfast.inputs.guards.given import check_given
from holdfast.inputs.guards.network import offline_where_local
from holdfast.inputs.read import paths_of
from holdfast.inputs.rows import questions_with_notes
from holdfast.inputs.sources.kits import with_kits

__all__ = ["freeze"]


@offline_where_local
def freeze(config: RedteamConfig) -> tuple[Frozen, list[str]]:
    """Write the prompts of the attacks to ``config.freeze``; return them, and what is not read.

    Raises:
        InputError: Something given cannot be used; nothing was written.
        RunError: The file cannot be written.
    """
    target = config.freeze
    if target is None or config.frozen is not None:
        raise ConfigError("give one of `freeze`, which writes a file, and `frozen`, which reads it")
    refuse_beside_freeze(config)
    check_given(config)
    if target.resolve() in {path.resolve() for path in paths_of(config) if path is not None}:
        raise ConfigError(f"`freeze={target}`: is a file that is read: choose another name")
    if target.exists() and not config.overwrite:
        raise ConfigError(
            f"`freeze={target}`: the file exists, and prompts that are frozen stay: choose another "
            "name, or add `overwrite=True`"
        )
    items, told = questions_with_notes(with_kits(config))
    plan = plan_to_freeze(config, items)
    plan.prompts.save(target)
    return plan.prompts, [*told, *plan.notes]
