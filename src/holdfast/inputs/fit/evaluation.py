"""SFTConfig's options of the rows that are measured while a model is tuned, and never learned."""

from collections.abc import Mapping
from typing import Any

from holdfast.errors import ConfigError, nearest
from holdfast.inputs.configs import TuneConfig

__all__ = ["eval_options"]

_OWN = ("eval_steps", "keep_best", "early_stopping")
_LOSS = "eval_loss"
_MEASURED = ("loss", "mean_token_accuracy", "entropy")
"""What the trainer measures on evaluation rows that can tell which weights are the best."""


def eval_options(config: TuneConfig, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the user gave with what follows from ``eval_data``.

    Without ``eval_steps`` the loss is measured once an epoch. The best weights are kept only where
    the user asks for it; then a checkpoint is written at every look.

    Args:
        config: The command's config.
        given: SFTConfig's options that the user set, in the file, by ``set`` or by own fields.

    Raises:
        ConfigError: Options of evaluation without rows to evaluate, or that contradict each other.
    """
    if config.early_stopping is not None and config.early_stopping < 1:
        said = f"`early_stopping={config.early_stopping}` is out of range"
        raise ConfigError(f"{said}, expected at least 1")
    if config.eval_data is None:
        _refuse_without_rows(config, given)
        return dict(given)
    _check_metric(given.get("metric_for_best_model"))
    strategy = _strategy(given)
    found = {**given, "eval_strategy": strategy}
    if "per_device_eval_batch_size" not in given and "per_device_train_batch_size" in given:
        found["per_device_eval_batch_size"] = given["per_device_train_batch_size"]
    if config.keep_best or config.early_stopping is not None or given.get("load_best_model_at_end"):
        found |= _best(given, strategy)
    return found


def _refuse_without_rows(config: TuneConfig, given: Mapping[str, Any]) -> None:
    named = [f"`{name}={getattr(config, name)}`" for name in _OWN if getattr(config, name)]
    if given.get("eval_strategy") not in (None, "no"):
        named.append(f"`eval_strategy={given['eval_strategy']}`")
    if given.get("load_best_model_at_end"):
        named.append("`load_best_model_at_end=true`")
    if named:
        raise ConfigError(f"{named[0]} needs rows to measure: give them with `eval_data=FILE`")


def _check_metric(metric: str | None) -> None:
    """Raise where what tells the best weights is not measured, which a look would find too late."""
    if metric is not None and metric.removeprefix("eval_") not in _MEASURED:
        known = ", ".join(_MEASURED)
        said = f"`metric_for_best_model={metric}` is not measured on `eval_data`"
        raise ConfigError(f"{said}; known: {known}.{nearest(metric, _MEASURED)}")


def _strategy(given: Mapping[str, Any]) -> str:
    by_steps = given.get("eval_steps") is not None
    wanted = str(getattr(given.get("eval_strategy"), "value", given.get("eval_strategy") or ""))
    if wanted == "no":
        raise ConfigError("`eval_strategy=no`, and `eval_data` is given: leave one of them out")
    if wanted == "epoch" and by_steps:
        raise ConfigError(
            f"`eval_strategy=epoch`, and `eval_steps={given['eval_steps']:g}` is given: leave one "
            "of them out"
        )
    return wanted or ("steps" if by_steps else "epoch")


def _best(given: Mapping[str, Any], strategy: str) -> dict[str, Any]:
    """Return the options under which the best weights are kept, and a stopped run goes on as was.

    A checkpoint is needed at each look: what is not saved cannot be kept.
    """
    saves = str(getattr(given.get("save_strategy"), "value", given.get("save_strategy") or ""))
    if saves not in ("", strategy):
        raise ConfigError(
            f"`save_strategy={saves}`: to keep the best weights a checkpoint is needed at each "
            f"look at `eval_data`: leave it out, or give {strategy}"
        )
    found: dict[str, Any] = {
        "load_best_model_at_end": True,
        "metric_for_best_model": given.get("metric_for_best_model") or _LOSS,
        "save_strategy": strategy,
        "restore_callback_states_from_checkpoint": True,
    }
    if found["metric_for_best_model"] in (_LOSS, "loss"):
        if given.get("greater_is_better"):
            raise ConfigError("`greater_is_better=true`: the lowest loss is the best: leave it out")
        found["greater_is_better"] = False
    return found | _steps(given, strategy)


def _steps(given: Mapping[str, Any], strategy: str) -> dict[str, Any]:
    between, saves = given.get("eval_steps"), given.get("save_steps")
    if saves is None:
        return {"save_steps": between} if strategy == "steps" and between is not None else {}
    if strategy == "epoch":
        raise ConfigError(
            f"`save_steps={saves:g}`: to keep the best weights a checkpoint is written at each "
            "look at `eval_data`, once an epoch: leave it out, or give `eval_steps` as well"
        )
    if between is not None and saves % between:
        raise ConfigError(
            f"`save_steps={saves:g}` is no multiple of `eval_steps={between:g}`: to keep the best "
            "weights each checkpoint needs a look at `eval_data`; give a multiple"
        )
    return {}
