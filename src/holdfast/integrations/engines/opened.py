"""What answers the questions of ``evaluate``: the model itself, vLLM, or a server."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from holdfast.errors import ConfigError
from holdfast.evaluation.judges.endpoint.address import key_in
from holdfast.inputs.configs import EvaluateConfig, ModelConfig
from holdfast.inputs.models import Loaded, model_of
from holdfast.integrations.engines.http import Server
from holdfast.integrations.engines.kept import KeptAnswers
from holdfast.integrations.engines.served import ServedModel

__all__ = ["KEY", "answering"]

KEY = "HOLDFAST_SERVED_KEY"
"""The environment variable whose value a server gets as its key."""
_AT_ONCE = 8
"""Most questions that are on their way to a server at the same time."""
_HERE = ("adapter", "engine", "lm_eval")
"""What is given for a model in this process alone, beside the options of loading it."""


def answering(config: EvaluateConfig) -> Loaded:
    """Return what answers; all of it that lies on this machine is checked as a model is.

    Raises:
        ConfigError: Options exclude each other, an extra is not installed, or the server does not
            answer.
        ModelError: See ``model_of``.
    """
    if config.served is not None:
        return _served(config)
    if config.engine == "vllm":
        from holdfast.integrations.engines.vllm import vllm_model  # noqa: PLC0415

        return vllm_model(config)
    return model_of(config)


def _served(config: EvaluateConfig) -> Loaded:
    _refuse_local(config)
    if not 0 < config.served_timeout < float("inf"):
        raise ConfigError(f"`served_timeout={config.served_timeout}`: give seconds, more than 0")
    key = key_in(KEY) or None
    server = Server.at(str(config.served), "served", key, config.served_timeout)
    how = {"served": server.url, "model": config.model, "max_new_tokens": config.max_new_tokens}
    model = ServedModel(server, config.model, KeptAnswers(_kept(config.output), how), _AT_ONCE)
    model.check()
    notes = [
        f"the questions went to {server.url}; its template and its end tokens are its own, and no "
        "question was checked against them"
    ]
    nothing: Any = None
    return Loaded(model, nothing, None, nothing, notes)


def _kept(output: Path | None) -> Path | None:
    """Return where answers are kept until the output is there."""
    return output and output.with_name(f"{output.name}-answers.jsonl")


def _refuse_local(config: EvaluateConfig) -> None:
    """Refuse what a server would not know of, and would be ignored in silence."""
    loading = [each.name for each in fields(ModelConfig) if each.name != "model"]
    defaults = EvaluateConfig(model="")
    for name in (*loading, *_HERE):
        if getattr(config, name) != getattr(defaults, name):
            raise ConfigError(
                f"`{name}` is for a model that is loaded here, and `served` asks a server: leave "
                "it out, and start the server with it"
            )
