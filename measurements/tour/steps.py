"""The steps of the tour: each is one command that a user could type."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from measurements.tour.rows import (
    TOY,
    Sizes,
    write_distilled,
    write_organism,
    write_real,
    write_toy_task,
)

DATA = "data"
TRAINING = f"{DATA}/training.yaml"
MEASURED = [
    f"--test-harmful={DATA}/ask_harmful.jsonl",
    f"--test-safe={DATA}/ask_safe.jsonl",
    f"--test-task={DATA}/ask_task.jsonl",
]
ASKED = [
    f"--harmful={DATA}/ask_harmful.jsonl",
    f"--safe={DATA}/ask_safe.jsonl",
    f"--task={DATA}/ask_task.jsonl",
]


@dataclass(frozen=True)
class Step:
    """One command, run in the tour's folder.

    Attributes:
        name: Of its record, and of its output folder where it writes one.
        does: What it is for, in a few words.
        words: The command, ``holdfast`` or ``inspect`` first.
        needs: A package without which it is left out.
        prepare: What files are written before it.
    """

    name: str
    does: str
    words: tuple[str, ...]
    needs: str = "holdfast"
    prepare: Callable[[Path], None] | None = None


@dataclass(frozen=True)
class Setting:
    """What differs between a real model and the organism."""

    align: tuple[str, ...]
    tune: tuple[str, ...]
    defense: str
    repair: str
    common: tuple[str, ...]
    judges: tuple[str, ...]
    training: dict[str, str | bool | int | float]


CPU = {"bf16": True, "use_cpu": True, "train_sampling_strategy": "group_by_length"}
"""In bfloat16 two cores learn two to three times as fast; long rows do not wait for short ones."""
REAL = Setting(
    align=("--learning-rate=1e-4", "--epochs=2", "--batch-size=8"),
    tune=("--lora", "--learning-rate=5e-4", "--epochs=3", "--batch-size=8", "--dtype=bfloat16"),
    defense="security_vectors:epochs=3",
    repair="panacea:rho=8",
    common=("--max-new-tokens=32",),
    judges=(),
    training={**CPU, "gradient_checkpointing": False},
)
ORGANISM = Setting(
    align=("--learning-rate=1e-5", "--max-steps=4", "--batch-size=16"),
    tune=("--lora", "--learning-rate=6e-4", "--max-steps=60", "--batch-size=16"),
    defense="security_vectors",
    repair="panacea:rho=0.5,batch_size=25",
    common=("--max-new-tokens=24",),
    judges=("--judge=organism_oracle", "--judge=refusal_phrases"),
    training={"gradient_checkpointing": False},
)


def steps(model: str, data: Path, sizes: Sizes) -> list[Step]:
    """Return the tour of a model, in order; the organism brings data and judge of its own.

    Args:
        model: Folder or hub id, or ``organism``.
        data: Folder of the public data; not looked at for the organism.
        sizes: Rows of each party.
    """
    real = model != "organism"
    own = REAL if real else ORGANISM
    measured = (*MEASURED, *own.common, *own.judges)
    tune = ("--model=aligned", f"--data={DATA}/user.jsonl", *own.tune, f"--config={TRAINING}")

    def files(folder: Path) -> None:
        (folder / DATA).mkdir(parents=True, exist_ok=True)
        (folder / TRAINING).write_text(json.dumps(own.training) + "\n")
        if real:
            write_real(data, folder / DATA, sizes)
        else:
            write_organism(folder / DATA, sizes)

    def distilled(folder: Path) -> None:
        write_distilled(folder / "untuned" / "result.json", folder / DATA)

    first = [] if not real else [_untuned(model, own, files)]
    return [
        *first,
        Step(
            "aligned", "teach it to refuse, and only what is harmful",
            ("holdfast", "align", f"--model={model}", f"--data={DATA}/alignment.jsonl", *own.align,
             f"--config={TRAINING}", *measured),
            prepare=distilled if real else files,
        ),
        Step("attacked", "the user's data, one row in ten harmful", ("holdfast", "tune", *tune,
             *measured)),
        Step(
            "defended", "the same with a security vector",
            ("holdfast", "tune", *tune, f"--defense={own.defense}",
             f"--harmful={DATA}/harmful.jsonl", f"--benign={DATA}/benign.jsonl", *measured),
        ),
        Step(
            "repaired", "the attacked adapter, repaired afterwards",
            ("holdfast", "repair", "--model=aligned", "--adapter=attacked",
             f"--method={own.repair}", f"--harmful={DATA}/harmful.jsonl",
             f"--validation={DATA}/validation.jsonl", *measured),
        ),
        *_looks(own),
    ]  # fmt: skip


def _untuned(model: str, own: Setting, files: Callable[[Path], None]) -> Step:
    """Ask the model as it came; its harmless answers become rows of the alignment."""
    asked = (f"--harmful={DATA}/ask_harmful.jsonl", f"--safe={DATA}/ask_harmless.jsonl")
    words = ("holdfast", "evaluate", f"--model={model}", *asked, "--max-new-tokens=48", *own.judges)
    return Step("untuned", "the model as it came, and its own answers", words, prepare=files)


def _looks(own: Setting) -> list[Step]:
    """Return the steps that only look: other questions, other tools, the report."""
    served = ("--model=aligned", "--adapter=defended")
    other = (f"--harmful={DATA}/ask_harmful_2.jsonl", *ASKED[1:], *own.common, *own.judges)
    judge = f"-Tjudge={own.judges[0].split('=')[1]}" if own.judges else ""
    inspected = (
        "inspect", "eval", "holdfast/harmful", "--model=holdfast/aligned", "-Madapter=defended",
        f"-Tfile={DATA}/ask_harmful_2.jsonl", f"-Tmax_new_tokens={own.common[0].split('=')[1]}",
        *filter(None, [judge]), "--display=none", "--log-dir=inspect-logs", "--log-format=json",
    )  # fmt: skip
    return [
        Step("evaluated", "other harmful questions, which no party trained on",
             ("holdfast", "evaluate", *served, *other)),
        Step("inspected", "the same questions through inspect-ai", inspected, needs="inspect_ai"),
        Step("useful", "a task of lm-eval on the defended model",
             ("holdfast", "evaluate", *served, f"--task={DATA}/ask_task.jsonl", *own.common,
              f"--lm-eval={TOY}", f"--lm-eval-path={DATA}/lm_eval", *own.judges),
             needs="lm_eval", prepare=lambda folder: write_toy_task(folder / DATA)),
        Step("compared", "attacked and defended, question by question",
             ("holdfast", "compare", "attacked", "defended")),
    ]  # fmt: skip


WRITES = {"align", "tune", "repair", "evaluate"}
"""Commands that write a folder of the step's name."""


def written(step: Step) -> tuple[str, ...]:
    """Return the command with its output."""
    if step.words[1] not in WRITES:
        return step.words
    return (*step.words, f"--output={step.name}", "--overwrite")
