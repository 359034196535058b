"""The model card that lies beside the weights: what was measured, and what is promised.

It goes wherever the weights go, so it holds no path of this machine, no row and no answer, and
nothing of the base's own card but its name and license.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from holdfast.defenses import card_of
from holdfast.evaluation.interval import Share
from holdfast.evaluation.metrics import Figure
from holdfast.files.whole import write_whole
from holdfast.inputs.loading.base_card import BaseCard
from holdfast.results.records import Arm
from holdfast.results.result import RunResult
from holdfast.results.words import arm_name, listed, percent, shown, words_in

__all__ = ["FILE", "model_card", "write_card"]

FILE = "README.md"
_DONE = {"tune": "fine-tuned", "align": "aligned", "repair": "repaired"}
_AFTER = {"align": "alignment", "repair": "repair"}
_FIGURES: dict[Figure, str] = {
    "hs": "Harmful score: harmful requests that are answered (lower is safer)",
    "hs_content": "… of it {content}",
    "over_refusal": "Over-refusal: harmless requests that are refused (lower is better)",
    "fa": "Task accuracy",
    "usefulness": "Usefulness: questions that the model could answer before",
}
_OPTIONS = ("learning_rate", "num_train_epochs", "max_steps", "per_device_train_batch_size",
            "gradient_accumulation_steps", "max_length", "seed")  # fmt: skip
_SCOPE = """\
The defenses protect whoever controls the training: a provider of fine-tuning, or an honest user
whose data hold harm unnoticed. They do not stop someone who has these weights and trains them
further, and they are no promise about prompts or attacks that were not measured. Measure again on
questions of your own before you rely on it; `holdfast evaluate` does it."""


def write_card(result: RunResult, base: BaseCard, folder: Path) -> None:
    """Write the card into the folder of the weights, over one that PEFT has written there.

    Raises:
        RunError: The file cannot be written.
    """
    adapter = (folder / "adapter_config.json").is_file()
    write_whole(folder / FILE, str(model_card(result, base, adapter=adapter)))


def model_card(result: RunResult, base: BaseCard, *, adapter: bool) -> ModelCard:
    """Return the card of the last arm of a result.

    Args:
        result: Of ``tune``, ``align`` or ``repair``.
        base: The model that it began with.
        adapter: What was written is an adapter.
    """
    arm = result.arms[-1]
    data = ModelCardData(
        base_model=base.base_model,
        license=base.license,
        license_name=base.license_name,
        library_name="peft" if adapter else "transformers",
        pipeline_tag="text-generation",
        tags=["holdfast", "safety", "lora" if adapter else "full-weights", *arm.defenses],
        base_model_relation=_relation(base, adapter=adapter),
    )
    parts = [*_head(result, arm, base), *_safety(result, arm), "### What this promises", _SCOPE,
             *_training(result)]  # fmt: skip
    text = "\n\n".join(parts)
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n{text}\n")


def _relation(base: BaseCard, *, adapter: bool) -> str | None:
    if base.base_model is None:
        return None
    return "adapter" if adapter else "finetune"


def _head(result: RunResult, arm: Arm, base: BaseCard) -> Iterator[str]:
    done = _DONE.get(result.command, "made")
    defended = f" with {arm_name(arm.defense)}" if arm.defenses else ""
    yield f"# {base.name}, {done}{defended}"
    version = result.versions.get("holdfast", "")
    made_from = base.base_model or base.name
    yield f"Made from {made_from} by holdfast {version} (`holdfast {result.command}`)."


def _safety(result: RunResult, arm: Arm) -> Iterator[str]:
    yield f"## Safety after {_AFTER.get(result.command, 'fine-tuning')}"
    before = result.arms[0] if len(result.arms) > 1 else None
    measured: list[Figure] = [f for f in _FIGURES if f in arm.figures]
    if measured:
        yield _table(measured, before, arm)
        yield f"In brackets: 95 % intervals. {_judged(result, arm)}"
    missing = [name.partition(":")[0].lower() for f, name in _FIGURES.items()
               if f != "hs_content" and f not in arm.figures]  # fmt: skip
    if missing:
        yield f"Not measured: {listed(missing)}."
    yield "\n".join(_defenses(arm))


def _table(measured: Sequence[Figure], before: Arm | None, arm: Arm) -> str:
    words = words_in([arm])
    rows = ["| | before | after | questions |", "|---|---|---|---|"]
    for figure in measured:
        found = arm.figures[figure]
        was = shown(before.figures.get(figure) if before else None, "percent")
        name = _FIGURES[figure].format_map(words)
        rows.append(f"| {name} | {was} | {shown(found, 'percent')} | {found.prompts} |")
    return "\n".join(rows)


def _judged(result: RunResult, arm: Arm) -> str:
    judges = list(dict.fromkeys(run.judge for run in arm.runs if run.judge))
    seeds, run = len(arm.runs), "repair" if result.command == "repair" else "training run"
    once = f"One {run} was measured" if seeds == 1 else f"{seeds} {run}s were measured"
    if not judges:
        return f"{once}."
    return f"{once}, the answers judged by {listed(judges)}.{_beside(arm)}"


def _beside(arm: Arm) -> str:
    """Name the further judges, with what they make of the same answers where one run was judged."""
    told = dict.fromkeys(one.judge for run in arm.runs for one in run.readings)
    if not told:
        return ""
    alone = arm.runs[0].readings if len(arm.runs) == 1 else []
    shares = {one.judge: one.shares for one in alone}
    found = [f"{judge}{_shares(shares.get(judge, {}))}" for judge in told]
    return f" The same answers were also read by {listed(found)}."


def _shares(shares: Mapping[Figure, Share]) -> str:
    names: dict[Figure, str] = {"hs": "harmful score", "over_refusal": "over-refusal"}
    told = [f"{name} {percent(shares[f].value)}" for f, name in names.items() if f in shares]
    return f" ({', '.join(told)})".replace("%", " %") if told else ""


def _defenses(arm: Arm) -> Iterator[str]:
    if not arm.defenses:
        yield "No defense was used."
        return
    yield "Defenses, the outermost first:"
    yield ""
    for name in arm.defenses:
        card = card_of(name)
        summary = f": {card.summary}" if card is not None else ""
        yield f"- `{name}`{summary}{_strength(arm.settings.get(name))}"


def _strength(settings: Any) -> str:
    """Return a defense's numbers; its texts may be paths."""
    told = _numbers(settings if isinstance(settings, Mapping) else {})
    return f" ({', '.join(told)})" if told else ""


def _numbers(settings: Mapping[str, Any]) -> list[str]:
    return [f"{name} {value:g}" for name, value in settings.items()
            if isinstance(value, int | float) and not isinstance(value, bool)]  # fmt: skip


def _training(result: RunResult) -> Iterator[str]:
    options = result.config.get("training")
    told = _numbers({n: options[n] for n in _OPTIONS if n in options}) if isinstance(
        options, Mapping) else []  # fmt: skip
    learned = [one for one in result.data if not one.name.startswith("test_")]
    rows = [f"{source.name} ({source.rows} rows)" for source in learned]
    chosen = [run.step for run in result.arms[-1].runs if run.step is not None]
    if told or rows or chosen:
        yield "## Training"
    if rows:
        yield f"Rows: {listed(rows)}."
    if told:
        yield f"Options: {', '.join(told)}."
    if chosen:
        steps = "step" if len(chosen) == 1 else "steps"
        kept = f"{steps} {listed([str(step) for step in chosen])}"
        yield f"The weights are those of {kept}, which the loss on evaluation data chose."
