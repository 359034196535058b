"""SFTConfig's options: our defaults, then the YAML file, then ``set``, then the own fields."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

from peft import LoraConfig
from trl.trainer.sft_config import SFTConfig

from holdfast.errors import ConfigError, nearest
from holdfast.inputs.configs import TuneConfig
from holdfast.inputs.fit.evaluation import eval_options
from holdfast.inputs.guards.options import built, checked_options
from holdfast.inputs.guards.secrets import refuse_secrets, without_secret
from holdfast.inputs.values import checked
from holdfast.inputs.yaml_files import mapping_in, text_of
from holdfast.training.sft_options import cpu_options, lora

__all__ = ["idle_notes", "overruled_notes", "sft_config", "training_options"]

RESERVED = {
    "output_dir": "give `output`",
    "model_init_kwargs": "give `dtype`",
    "trust_remote_code": "give `trust_remote_code=True`",
    "chat_template_path": "give `chat_template`",
    "resume_from_checkpoint": "give `resume=True`",
    "push_to_hub": "holdfast uploads nothing",
    "dataset_text_field": "examples have prompt and completion; give `columns`",
    "save_only_model": "a run could not be resumed",
    "disable_tqdm": "holdfast has a bar of its own; leave it out",
}
FIELDS = {
    "learning_rate": "learning_rate",
    "epochs": "num_train_epochs",
    "max_steps": "max_steps",
    "batch_size": "per_device_train_batch_size",
    "accumulation": "gradient_accumulation_steps",
    "save_steps": "save_steps",
    "eval_steps": "eval_steps",
    "seed": "seed",
}
# Lowest value, and whether the value itself is allowed; SFTConfig checks few of its options.
RANGES: dict[str, tuple[float, bool]] = {
    "learning_rate": (0, True), "num_train_epochs": (0, False), "weight_decay": (0, True),
    "per_device_train_batch_size": (1, True), "gradient_accumulation_steps": (1, True),
    "save_steps": (0, False), "eval_steps": (0, False), "logging_steps": (0, False),
    "max_length": (1, True), "max_grad_norm": (0, True), "seed": (0, True),
    "warmup_steps": (0, True),
}  # fmt: skip


def training_options(config: TuneConfig) -> tuple[dict[str, Any], LoraConfig | None]:
    """Return SFTConfig's options, checked, and the adapter to train, if any.

    ``output_dir`` is left to the run.

    Raises:
        ConfigError: The file is no YAML mapping, an option is unknown (suggests the nearest), is
            set by holdfast, or has a value of the wrong type or out of range.
    """
    # Ours: checkpoints often enough to resume from, curves in full, float32 on a CPU.
    ours = {"save_steps": 100, "save_total_limit": 2, "logging_steps": 1, "seed": 0}
    ours |= cpu_options()
    merged: dict[str, Any] = {}
    if config.config is not None:
        where = f"`config={config.config}`"
        merged |= _checked(mapping_in(text_of(config.config, where), where), where)
    line = _checked(_pairs(config.set), "`set`")
    values = {name: getattr(config, own) for own, name in FIELDS.items()}
    given = {name: value for name, value in values.items() if value is not None}
    line |= _checked(given, "SFTConfig")
    told = eval_options(config, _over(merged, line))
    return checked_options(ours | told), _adapter(config)


def _over(file: dict[str, Any], line: dict[str, Any]) -> dict[str, Any]:
    """Return the file's options with the command line's over them: its epochs win over steps.

    SFTConfig itself goes by the steps wherever it has both, whoever gave them.
    """
    lost = {"max_steps"} if "num_train_epochs" in line and "max_steps" not in line else set[str]()
    return {name: value for name, value in file.items() if name not in lost} | line


def idle_notes(options: Mapping[str, Any]) -> list[str]:
    """Return what of a run's options decides nothing, or lets nothing be learned."""
    found: list[str] = []
    steps, epochs = options.get("max_steps") or -1, options.get("num_train_epochs")
    if steps > 0 and epochs is not None:
        found.append(
            f"{steps} steps were run, as `max_steps` says: `epochs` ({epochs:g}) is unread"
        )
    if options.get("learning_rate") == 0:
        found.append("the learning rate is 0: the optimizer changes no weight")
    return found


def overruled_notes(config: object) -> list[str]:
    """Return what `set` was given and does not decide, since an option of its own does."""
    if not isinstance(config, TuneConfig):
        return []
    line = _checked(_pairs(config.set), "`set`")
    given = {own: getattr(config, own) for own, name in FIELDS.items() if name in line}
    return [
        f"`{own}={value}` was taken: {FIELDS[own]}={line[FIELDS[own]]} in `set` is unread"
        for own, value in given.items()
        if value is not None and value != line[FIELDS[own]]
    ]


def _pairs(items: Sequence[str]) -> dict[str, str]:
    found = dict[str, str]()
    for key, value in map(_pair, items):
        if key in found:
            raise ConfigError(f"`set`: {key} is given twice; give it once")
        found[key] = value
    return found


def _pair(item: str) -> tuple[str, str]:
    key, equals, value = item.partition("=")
    if not equals or not key.strip():
        shown = without_secret(item)
        raise ConfigError(f"`set={shown}`: expected KEY=VALUE, such as weight_decay=0.1")
    return key.strip(), value.strip()


def _checked(options: Mapping[str, Any], source: str) -> dict[str, Any]:
    refuse_secrets(options, source)
    hints = get_type_hints(SFTConfig)
    known = [f.name for f in fields(SFTConfig) if f.init]
    return {key: _value(key, value, source, hints, known) for key, value in options.items()}


def _value(key: str, value: Any, source: str, hints: Mapping[str, Any], known: list[str]) -> Any:
    if key in RESERVED:
        raise ConfigError(f"{source}: {key} cannot be set here: {RESERVED[key]}")
    if key not in known:
        raise ConfigError(f"{source}: unknown option {key!r} of SFTConfig.{nearest(key, known)}")
    result = checked(f"{source}: {key}", value, hints[key])
    if key == "report_to" and result is None:
        result = "none"  # Its own word, which stands for no value in all other options.
    low, inclusive = RANGES.get(key, (float("-inf"), True))
    if isinstance(result, int | float) and (result < low or (result == low and not inclusive)):
        bound = "at least" if inclusive else "more than"
        raise ConfigError(f"{source}: {key}={value} is out of range, expected {bound} {low:g}")
    return result


def sft_config(options: Mapping[str, Any], output: Path, **rest: Any) -> SFTConfig:
    """Return the SFTConfig; what it refuses itself becomes a ``ConfigError``."""
    return built({**options, **rest, "output_dir": str(output)})


def _adapter(config: TuneConfig) -> LoraConfig | None:
    if not config.lora:
        _refuse_without_adapter(config)
        return None
    for name, value, ok, wanted in (
        ("lora_r", config.lora_r, config.lora_r >= 1, "1 or more"),
        ("lora_alpha", config.lora_alpha, config.lora_alpha > 0, "more than 0"),
        ("lora_dropout", config.lora_dropout, 0 <= config.lora_dropout < 1, "in [0, 1)"),
    ):
        if not ok:
            raise ConfigError(f"`{name}={value}` is out of range, expected {wanted}")
    return lora(config.lora_r, config.lora_alpha, config.lora_dropout, config.lora_targets)


def _refuse_without_adapter(config: TuneConfig) -> None:
    """Raise where an option of the adapter is given and none is trained: all weights would be."""
    for item in fields(config):
        value = getattr(config, item.name)
        if item.name.startswith("lora_") and value != item.default:
            raise ConfigError(
                f"`{item.name}={value}` is of an adapter, and all weights would be trained: add "
                "`lora=True`, or leave it out"
            )
