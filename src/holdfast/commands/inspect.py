"""Say what a model is and what can be done with it; no weights are needed."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from holdfast.commands.inspection.adapter import AdapterFacts, adapter_of
from holdfast.commands.inspection.chat import Chat, chat_of
from holdfast.commands.inspection.layers import Layers, layers_of
from holdfast.commands.inspection.methods import Method, methods_on
from holdfast.commands.inspection.model_card import license_of
from holdfast.commands.inspection.numbers import Numbers, numbers_of
from holdfast.commands.inspection.subject import Subject, subject_of
from holdfast.errors import ModelError
from holdfast.files.guarded.models import check_loaded_by
from holdfast.inputs.configs import InspectConfig
from holdfast.inputs.guards.given import check_given
from holdfast.inputs.guards.network import offline_where_local
from holdfast.inputs.guards.secrets import refuse_secret_values
from holdfast.inputs.loading.vocabulary import check_vocabulary
from holdfast.inputs.models import positions
from holdfast.inputs.rows import ORGANISM

__all__ = ["InspectConfig", "Inspection", "inspect_model"]


@dataclass(frozen=True)
class Inspection:
    """All that is known of a model before it runs."""

    model: str
    architecture: str
    """The model type of its config."""
    classes: str
    """transformers' class."""
    numbers: Numbers
    layers: Layers
    methods: tuple[Method, ...]
    chat: Chat
    context: int | None
    """Most tokens of a row."""
    vocabulary: str
    dtype: str | None
    """What the config says the weights are."""
    quantization: str | None
    license: str | None
    weights: bool | None
    """Weights that fit lie there; None where that is not known."""
    adapter: AdapterFacts | None
    notes: tuple[str, ...]

    def summary(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return asdict(self)


@offline_where_local
def inspect_model(config: InspectConfig) -> Inspection:
    """Return what can be said of ``config.model``, and of ``config.adapter`` on it.

    Raises:
        InputError: What is given is no model, or the adapter does not fit it.
    """
    check_given(config)
    refuse_secret_values(asdict(config))
    subject = subject_of(config)
    model, tokenizer = subject.model, subject.tokenizer
    own = model.config.get_text_config()
    return Inspection(
        model=config.model,
        architecture=str(model.config.model_type),
        classes=type(model).__name__,
        numbers=numbers_of(model),
        layers=layers_of(model),
        methods=methods_on(model),
        chat=chat_of(model, tokenizer, f"`model={config.model}`"),
        context=positions(model, tokenizer),
        vocabulary=_vocabulary(subject),
        dtype=str(own.dtype).removeprefix("torch.") if getattr(own, "dtype", None) else None,
        quantization=_bits(model.config),
        license=license_of(subject.card),
        weights=subject.weights,
        adapter=None if config.adapter is None else adapter_of(model, config.adapter),
        notes=(*subject.notes, *_notes(subject)),
    )


def _vocabulary(subject: Subject) -> str:
    rows = subject.model.get_input_embeddings().weight.shape[0]
    return f"{len(subject.tokenizer)} tokens, {rows} rows"


def _bits(config: Any) -> str | None:
    """Return how the config says that the weights are quantized."""
    found: Any = getattr(config, "quantization_config", None)
    if found is None:
        return None
    said = found if isinstance(found, dict) else found.to_dict()
    bits = next((f"{n} bits" for n in (4, 8) if said.get(f"load_in_{n}bit")), said.get("bits"))
    method = getattr(said.get("quant_method"), "value", said.get("quant_method"))
    return ", ".join(str(part) for part in (method, bits) if part)


def _notes(subject: Subject) -> list[str]:
    """Return why a model whose weights fit cannot be loaded all the same."""
    shown = f"`model={subject.name}`"
    try:
        check_vocabulary(subject.model, subject.tokenizer, shown)
        if subject.weights and subject.name != ORGANISM:
            check_loaded_by(Path(subject.name), shown)
    except ModelError as error:
        return [f"it cannot be loaded: {error}"]
    return []
