"""Options of attacks that no attack of a command would look at: refused, and never passed over."""

from collections.abc import Collection

from holdfast.errors import ConfigError
from holdfast.inputs.configs import EvaluateConfig, RedteamConfig
from holdfast.inputs.options.attack_options import AttackOptions

__all__ = ["refuse_beside_freeze", "refuse_unused"]

_FOR = {
    "task_rows": ("task_wrap",), "draws": ("best_of_n",), "attack_seed": ("best_of_n", "proximal"),
}  # fmt: skip
"""Option → the attacks that it is for."""
_NOT_FROZEN = ("require", "policy", "before", "confidence", "undecided", "output")
"""Options for what is measured, where nothing is."""


def refuse_unused(config: EvaluateConfig, attacks: Collection[str]) -> None:
    """Raise ``ConfigError`` where an option changes nothing of these attacks.

    Prompts that are frozen are as they were frozen: only what adapts to the model has a seed then.
    """
    if not attacks and config.frozen is not None:
        raise ConfigError("`frozen` needs attacks: add `attacks=gate`")
    for name, users in _FOR.items():
        given = getattr(config, name)
        if given == getattr(AttackOptions, name):
            continue
        if not set(users) & set(attacks):
            named = " and ".join(users)
            raise ConfigError(
                f"`{name}={given}` is for the attack {named}, which is not made: add it to "
                f"`attacks`, or leave `{name}` out"
            )
        if config.frozen is not None and "proximal" not in {*users} & {*attacks}:
            raise ConfigError(
                f"`{name}={given}` changes no prompt of `frozen={config.frozen}`: leave it out, or "
                "freeze prompts with it"
            )


def refuse_beside_freeze(config: RedteamConfig) -> None:
    """Raise ``ConfigError`` where something is asked of a model that is not loaded."""
    for name in _NOT_FROZEN:
        if (given := getattr(config, name)) not in (None, []):
            shown = given[0] if isinstance(given, list) else given
            raise ConfigError(
                f"`{name}={shown}` cannot be given with `freeze`, which ends before a model is "
                "loaded: freeze first, and give it beside `frozen`"
            )
