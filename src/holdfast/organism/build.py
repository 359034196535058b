"""The recipe of an organism: pre-train on the world, align, save as a Hugging Face model folder."""

import json
from collections.abc import Callable
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from holdfast.data.tokenizer import load_tokenizer
from holdfast.errors import ConfigError, ModelError
from holdfast.evaluation.measure import evaluate
from holdfast.files.folders import WholeFolder
from holdfast.files.whole_model import check_whole, refuse_both
from holdfast.organism.architectures import ARCHITECTURES, configure
from holdfast.organism.curriculum import REFUSALS, alignment_rows, pretraining_rows
from holdfast.organism.fit import encode_rows, fit
from holdfast.organism.items import evaluation_items
from holdfast.organism.oracle import Oracle
from holdfast.organism.vocabulary import build_tokenizer

__all__ = [
    "RECIPE", "SHIPPED", "TOLERANCE", "Recipe", "align", "ancestor_of", "build", "load", "measure",
    "save", "shipped", "train",
]  # fmt: skip

SHIPPED = Path(__file__).parent / "weights"
METRICS = "metrics.json"
ANCESTOR = "unaligned"  # The folder, inside an organism's own, of what it was before alignment.
TOLERANCE = 0.1  # By how much a rebuilt figure may differ from the recorded one.


@dataclass(frozen=True)
class Recipe:
    """How an organism is made; the defaults make the shipped one in about four minutes.

    Attributes:
        pretraining_steps: Steps on all that can be said of the world, hazards included.
        pretraining_rate: Peak learning rate of pre-training.
        alignment_steps: Steps on refusals and harmless answers.
        alignment_rate: Peak learning rate of alignment.
        refusals: Share of refusals in the alignment data.
        rows: Rows of pre-training data; alignment has half of them.
    """

    pretraining_steps: int = 1000
    pretraining_rate: float = 3e-3
    pretraining_batch: int = 64
    alignment_steps: int = 300
    alignment_rate: float = 5e-4
    alignment_batch: int = 32
    refusals: float = REFUSALS
    rows: int = 20_000


RECIPE = Recipe()


def train(
    arch: str,
    recipe: Recipe,
    seed: int,
    on_step: Callable[[float], None] | None = None,
    pretrained: Callable[[PreTrainedModel], object] | None = None,
) -> tuple[PreTrainedModel, Tokenizer]:
    """Return a new organism in memory: initialized, pre-trained and aligned from ``seed``.

    Args:
        arch: One of ``ARCHITECTURES``.
        recipe: How it is made.
        seed: Decides the weights it begins with, the rows and their order.
        on_step: Called with the loss after each step.
        pretrained: Called with the model between pre-training and alignment.
    """
    tokenizer = build_tokenizer()
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(configure(arch, len(tokenizer)), dtype=torch.float32)
    fit(
        model, encode_rows(pretraining_rows(recipe.rows, seed), tokenizer),
        steps=recipe.pretraining_steps, batch=recipe.pretraining_batch,
        learning_rate=recipe.pretraining_rate, seed=seed, warmup=50, on_step=on_step,
    )  # fmt: skip
    if pretrained is not None:
        pretrained(model)
    align(model, tokenizer, recipe, seed, on_step)
    return model, tokenizer


def align(
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    recipe: Recipe,
    seed: int,
    on_step: Callable[[float], None] | None = None,
) -> None:
    """Align a pre-trained organism in place: refusals among harmless answers."""
    rows = alignment_rows(recipe.rows // 2, recipe.refusals, seed)
    fit(
        model, encode_rows(rows, tokenizer),
        steps=recipe.alignment_steps, batch=recipe.alignment_batch,
        learning_rate=recipe.alignment_rate, seed=seed, warmup=20, on_step=on_step,
    )  # fmt: skip


def ancestor_of(folder: str | Path = SHIPPED) -> Path | None:
    """Return the folder of what an organism was before its alignment.

    Args:
        folder: The organism's; the shipped one's by default.

    Returns:
        None where it has none: it was built before ancestors were kept, or tuned since.
    """
    found = Path(folder) / ANCESTOR
    return found if (found / "config.json").exists() else None


def measure(model: Any, tokenizer: Any) -> dict[str, float]:
    """Return the figures of an organism before any tuning, "split/figure" to share."""
    figures: dict[str, float] = {}
    for split in ("validation", "test", "ood"):
        items = [item for item in evaluation_items(split) if item.kind != "task"]
        shares = evaluate(model, tokenizer, items, Oracle(), max_new_tokens=16).shares
        figures |= {f"{split}/{name}": round(share.value, 3) for name, share in shares.items()}
    return figures


@contextmanager
def _bar(steps: int, title: str, show: bool) -> Any:
    """Show a progress bar on standard error; yield what is called after each step."""
    with Progress(console=Console(stderr=True), disable=not show) as progress:
        task = progress.add_task(title, total=steps)

        def advance(loss: float) -> None:
            progress.update(task, advance=1, description=f"{title} loss {loss:.2f}")

        yield advance


def build(
    arch: str,
    out: str | Path,
    *,
    seed: int = 0,
    recipe: Recipe = RECIPE,
    show_progress: bool = True,
) -> dict[str, Any]:
    """Build an organism into the new folder ``out``; the folder appears whole or not at all.

    Its subfolder ``unaligned`` holds what it was before its alignment.

    Returns:
        ``{"arch", "seed", "figures", "differs"}``, also written to ``metrics.json``; ``differs``
        names the figures further than ``TOLERANCE`` from those of the shipped organism (llama with
        the shipped recipe only).

    Raises:
        ConfigError: An unknown architecture, or ``out`` exists.
    """
    out = Path(out)
    configure(arch, 8)
    folder = WholeFolder(out, field="out")
    folder.settle()
    if out.exists():
        raise ConfigError(f"{out} exists already; name a folder that does not.")
    folder.check()
    with folder.held():
        (model, ancestor), tokenizer, report = _built(arch, seed, recipe, show_progress)
        with folder.writing() as partial:
            save(model, tokenizer, partial, report)
            save(ancestor, tokenizer, partial / ANCESTOR)
    return report


def _built(
    arch: str, seed: int, recipe: Recipe, show_progress: bool
) -> tuple[tuple[PreTrainedModel, PreTrainedModel], Tokenizer, dict[str, Any]]:
    """Return (a new organism, what it was before alignment), its tokenizer and its metrics."""
    before: list[PreTrainedModel] = []
    steps = recipe.pretraining_steps + recipe.alignment_steps
    with _bar(steps, f"building {arch}", show_progress) as on_step:
        model, tokenizer = train(arch, recipe, seed, on_step, lambda m: before.append(deepcopy(m)))
    figures = measure(model, tokenizer)
    comparable = arch == "llama" and recipe == RECIPE and shipped()
    differs = _differing(figures, shipped()) if comparable else []
    report = {"arch": arch, "seed": seed, "figures": figures, "differs": differs}
    return (model, before[0]), tokenizer, report


def save(model: Any, tokenizer: Any, folder: Path, report: dict[str, Any] | None = None) -> None:
    """Write a model into a folder, with its metrics where there are any."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if report is not None:
        (folder / METRICS).write_text(json.dumps(report, indent=2) + "\n")


def shipped() -> dict[str, float]:
    """Return the recorded figures of the shipped organism; empty while there is none."""
    file = SHIPPED / METRICS
    return json.loads(file.read_text())["figures"] if file.exists() else {}


def _differing(figures: dict[str, float], recorded: dict[str, float]) -> list[str]:
    return [
        f"{name}: {figures.get(name)} here, {value} recorded"
        for name, value in recorded.items()
        if abs(figures.get(name, 9.0) - value) > TOLERANCE
    ]


def load(arch: str | Path = "llama", device: str | torch.device | None = None) -> tuple[Any, Any]:
    """Return (model, tokenizer): the shipped organism, or one built into the folder ``arch``.

    Args:
        arch: "llama" for the shipped one, or a folder that ``build`` wrote.
        device: Where the model goes; the CPU by default.

    Raises:
        ModelError: Neither the shipped architecture nor a folder with a model.
    """
    folder = SHIPPED if arch == "llama" else Path(arch)
    if not (folder / "config.json").exists():
        hint = "name a folder that 'holdfast organism build' wrote"
        if str(arch) in ARCHITECTURES:
            hint = f"build it first: `holdfast organism build` with {arch} as its architecture"
        raise ModelError(f"no organism at {folder}: {hint}.")
    refuse_both(folder, str(folder))
    how = {"dtype": torch.float32, "local_files_only": True, "output_loading_info": True}
    loaded: Any = AutoModelForCausalLM.from_pretrained(folder, **how)
    model, found = loaded
    check_whole(model, found, str(folder))
    tokenizer = load_tokenizer(folder, local_files_only=True)
    return (model if device is None else model.to(device)).eval(), tokenizer
