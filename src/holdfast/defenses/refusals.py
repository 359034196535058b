"""Refusals to the defender's harmful prompts: given as rows, or what the aligned model answers."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn

from holdfast.defense import Defense, Examples, Row, Run, listed, need_data
from holdfast.defenses.aligned_folder import check_all_there
from holdfast.defenses.unrelated import tell_unrelated_weights
from holdfast.errors import ConfigError, RunError
from holdfast.evaluation.generate import generate
from holdfast.evaluation.judges import LearnedRefusal
from holdfast.evaluation.metrics import Item
from holdfast.files.weights import open_weights
from holdfast.ops.adapter_facts import AdapterKind, require_kinds
from holdfast.ops.modules import plain_name
from holdfast.ops.weights import copied, put

__all__ = [
    "answers", "check_base", "check_refuses", "refusals_of_base", "refuse_tokens", "refused",
    "with_base",
]  # fmt: skip

_KINDS = frozenset({AdapterKind.LORA, AdapterKind.LORA_BIAS})
"""Adapters that are switched off to get the aligned model: nothing of the base was moved."""
_ASKED_FIRST = 8
"""Prompts that are asked before step 0; where none is refused twice as many follow, and so on."""


def refusals_of_base(run: Run, repair: Any) -> list[Row]:
    """Return the harmful prompts, each with the aligned model's greedy answer, where it refuses.

    Args:
        run: The run of the tuned model; its weights are put back bit for bit.
        repair: A defense with the fields ``harmful`` (its prompts are asked, its answers not read),
            ``aligned`` (folder of the aligned model, for fully tuned weights) and
            ``max_new_tokens``.

    Raises:
        ConfigError: The aligned model cannot be had.
        RunError: It refuses none of them.
    """
    rows, name = listed(need_data(repair, "harmful")), repair.card.name

    def told(done: int, total: int) -> None:
        run.progress(f"{name}: the aligned model's answers", done, total)

    with with_base(run, repair.aligned, name):
        said = answers(run, rows, name, repair.max_new_tokens, told)
    kept = [
        {"prompt": row["prompt"], "completion": [{"role": "assistant", "content": text}]}
        for row, text, declined in zip(rows, said, refused(rows, said), strict=True)
        if declined
    ]
    if not kept:
        raise _refuses_none(name, len(rows))
    run.say(f"{name}: the aligned model refuses {len(kept)} of {len(rows)} harmful prompts")
    return kept


def check_refuses(run: Run, repair: Any) -> None:
    """Ask the aligned model until its first refusal, as ``refusals_of_base`` will ask for them all.

    Before step 0 that is some answers of a model that refuses, and all of one that never does.

    Raises:
        ConfigError: The aligned model cannot be had.
        RunError: It refuses none of them.
    """
    rows, asked, name = listed(need_data(repair, "harmful")), 0, repair.card.name
    stage = f"{name}: looking for a refusal of the aligned model"
    with with_base(run, repair.aligned, name):
        while asked < len(rows):
            run.progress(stage, asked, len(rows))
            some = rows[asked : 2 * asked + _ASKED_FIRST]
            asked += len(some)
            if any(refused(some, answers(run, some, name, repair.max_new_tokens))):
                run.progress(stage, asked, asked)  # No more are asked: the stage ends here.
                return
    raise _refuses_none(name, len(rows))


def _refuses_none(name: str, asked: int) -> RunError:
    return RunError(
        f"{name}: the aligned model refuses none of the {asked} harmful prompts, so there is "
        "nothing to lead back to; the weights were left as they are: give refusals of your own as "
        "`safe=FILE`"
    )


def answers(
    run: Run,
    rows: Sequence[Row],
    name: str,
    max_new_tokens: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """Return the model's greedy answer to each row's prompt.

    Raises:
        ConfigError: There is no tokenizer, or the rows are tokens already.
    """
    if run.tokenizer is None:
        raise ConfigError(
            f"{name} lets the model answer and needs its tokenizer: give tokenizer= (in a trainer "
            "processing_class=)"
        )
    if any("prompt" not in row for row in rows):
        raise ConfigError(f"{name} lets the model answer: give rows of prompts, not of tokens")
    model: Any = run.model
    how: dict[str, Any] = {
        "max_new_tokens": max_new_tokens,
        "batch_size": 128,
        "progress": progress,
    }
    with _as_it_was(model):
        return generate(model, run.tokenizer, [row["prompt"] for row in rows], **how)


def refuse_tokens(defense: Defense) -> None:
    """Raise ``ConfigError`` where a repair that lets the model answer is given tokens."""
    for field in defense.card.data:
        rows: Examples | None = getattr(defense, field)
        if rows is not None and len(rows) and "prompt" not in rows[0]:
            raise ConfigError(
                f"{defense.card.name} lets the model answer: give `{field}` as rows of `prompt` "
                f"and `completion`, got the columns {', '.join(rows[0])}"
            )


@contextmanager
def _as_it_was(model: nn.Module) -> Generator[None]:
    """Take away what generating leaves on a model: PEFT binds a method to its inner module."""
    before = [(module, set(vars(module))) for module in model.modules()]
    try:
        yield
    finally:
        for module, names in before:
            for name in vars(module).keys() - names:
                del vars(module)[name]


def refused(rows: Sequence[Row], said: Sequence[str], known: Sequence[str] = ()) -> list[bool]:
    """Tell of each answer whether it declines.

    It does where the learned judge of refusals says so, and where it begins as one of the ``known``
    refusals does, in any language.

    Args:
        rows: The rows whose prompts were asked.
        said: Their answers.
        known: Texts of refusals; the first 24 characters of each are compared.
    """
    items = [Item(f"row-{n}", "safe", row["prompt"]) for n, row in enumerate(rows)]
    openings = tuple({text.strip()[:24] for text in known if text.strip()})
    verdicts = LearnedRefusal()(items, said)
    return [
        verdict.refused or text.strip().startswith(openings)
        for verdict, text in zip(verdicts, said, strict=True)
    ]


@contextmanager
def with_base(run: Run, aligned: str | None, name: str) -> Generator[None]:
    """Run the body with the aligned model in place of the tuned one; then put it back, bit for bit.

    With a LoRA adapter that is the model with its adapter off; else the weights of ``aligned``.

    Raises:
        ConfigError: All weights are trained and no folder is given.
        ModelError: The adapter's base was moved, or the folder is another model's.
    """
    if check_base(run.model, aligned, name):
        with _without_adapter(run.model):
            yield
        return
    trained = run.engine.parameters()
    saved = open_weights(str(aligned), f"{name}: aligned", run.model)
    kept = copied(trained)
    try:
        put(trained, {n: saved.read(plain_name(n), p) for n, p in trained.items()})
        tell_unrelated_weights(run.say, f"{name}: aligned={aligned}", kept, trained)
        yield
    finally:
        put(trained, kept)


@contextmanager
def _without_adapter(model: Any) -> Generator[None]:
    """Switch the adapter off for the body; PEFT freezes it for that, so flags are put back."""
    flags = [(p, p.requires_grad) for p in model.parameters()]
    off = getattr(model, "disable_adapter", None)
    try:
        with off() if off is not None else _layers_off(model):
            yield
    finally:
        for p, trained in flags:
            p.requires_grad_(trained)


@contextmanager
def _layers_off(model: nn.Module) -> Generator[None]:
    """Switch the adapter off where transformers or PEFT put it into a model of no PEFT class."""
    from peft.tuners.tuners_utils import BaseTunerLayer  # noqa: PLC0415  # Slow to import.

    layers = [m for m in model.modules() if isinstance(m, BaseTunerLayer)]
    on = [layer for layer in layers if not layer.disable_adapters]
    try:
        for layer in on:
            layer.enable_adapters(False)
        yield
    finally:
        for layer in on:
            layer.enable_adapters(True)


def check_base(model: nn.Module, aligned: str | None, name: str) -> bool:
    """Tell whether the aligned model is this one with its adapter off, or raise.

    Raises:
        ConfigError: All weights are trained and no folder is given, or it is no model's.
        ModelError: The adapter's base was moved, or the folder has not all that is trained.
    """
    adapted = require_kinds(model, _KINDS, name)
    if not adapted and aligned is None:
        raise ConfigError(
            f"{name}: refusals of the aligned model need it, and of fully tuned weights nobody "
            "knows what they were: give aligned=DIR (its folder), or refusals as `safe=FILE`"
        )
    if not adapted:
        saved = open_weights(str(aligned), f"{name}: aligned", model)
        check_all_there(model, saved, name, "and give refusals as `safe=FILE`")
    return adapted
