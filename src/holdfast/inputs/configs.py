"""What tune, repair, evaluate and analyze take; the field docstrings are the command line's help.

Nothing heavy is imported here: ``holdfast --help`` reads these classes.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from holdfast.analysis.settings import AnalysisOptions
from holdfast.inputs.options.attack_options import AttackOptions
from holdfast.inputs.options.choice_options import ChoiceOptions
from holdfast.inputs.options.gate_options import GateOptions
from holdfast.inputs.options.outside_options import AnswerOptions, BenchmarkOptions
from holdfast.inputs.options.watch_options import WatchOptions

__all__ = [
    "ALSO", "AlignConfig", "AnalyzeConfig", "DType", "EvaluateConfig", "InspectConfig",
    "JudgeConfig", "ModelConfig", "Quantization", "RedteamConfig", "RepairConfig", "TestConfig",
    "TuneConfig", "also",
]  # fmt: skip

DType = Literal["float32", "bfloat16", "float16"]
Quantization = Literal["4bit", "8bit"]
ALSO = "also"
"""What a field's metadata hold its second flag under."""


def also(name: str) -> Any:
    """Return a field that is None by default, and that a command line takes by another name too."""
    return field(default=None, metadata={ALSO: name})


@dataclass(kw_only=True)
class ModelConfig:
    """Which model, and how it is loaded."""

    model: str
    """Model folder, hub id (owner/name), or 'organism' for the built-in test model."""
    dtype: DType = "float32"
    """Type of the weights in memory; defenses need the trained tensors in float32."""
    revision: str | None = None
    """Branch, tag or commit of a hub model; its default branch without it."""
    quantization: Quantization | None = None
    """Keep the model's own weights in 4 (NF4) or 8 bits; then only an adapter can be trained."""
    device_map: str | None = None
    """Where weights lie: auto, balanced, sequential, or a device; the GPU, where there is one."""
    trust_remote_code: bool = False
    """Run code that comes with the model; off, because it can do anything on this machine."""
    chat_template: Path | None = None
    """Jinja file with a chat template, for tokenizers that have none."""
    control_tokens: bool = False
    """Keep rows whose prompts hold the model's control tokens; the model reads them as turns."""


@dataclass(kw_only=True)
class TestConfig:
    """Files of questions that measure a model; each is optional, and the organism has its own."""

    __test__ = False  # The name is no test class of pytest's.

    test_harmful: str | None = None
    """Harmful requests: what share of them is answered (harmful score); a file, hub id or kit."""
    test_safe: str | None = None
    """Questions that look scary and are harmless: what share is refused (over-refusal)."""
    test_task: str | None = None
    """Questions of the user's task with answers: what share is right (fine-tuning accuracy)."""
    test_useful: str | None = None
    """Questions of what the model could do before: what share is right (usefulness)."""
    max_new_tokens: int = 64
    """Longest answer to a question, in tokens."""
    kit: str | None = None
    """Public sets for all that is not given: default, or a YAML file of ROLE: KIT."""
    test_limit: int | None = None
    """Most questions read from each file; all by default."""
    judge: list[str] = field(default_factory=list[str])
    """Who reads the answers, NAME[:key=value,...]; repeat for a second one beside the first."""
    refusal_phrases: Path | None = None
    """Judge by the phrases of a file, one a line or a JSON list, and not by the learned judge."""
    show_harmful: bool = False
    """Show harmful prompts and answers in the report instead of redacting them."""


@dataclass(kw_only=True)
class TuneConfig(ModelConfig, TestConfig, WatchOptions, ChoiceOptions):
    """One fine-tuning run with defenses."""

    stage: ClassVar[Literal["tune", "align"]] = "tune"

    data: str
    """The user's data: a file, a hub id (owner/name), a kit's name, or 'organism'."""
    output: Path
    """Folder for the model or adapter, result.json and report.html; appears whole or not at all."""
    defense: list[str] = field(default_factory=list[str])
    """A defense, NAME[:key=value,...]; repeat for several, the first is outermost."""
    harmful: str | None = None
    """The defender's harmful pairs (request, compliant answer): file, hub id, kit or 'organism'."""
    safe: str | None = None
    """Harmful requests with refusals, for defenses that ask for them: file, hub id, 'organism'."""
    alignment: str | None = None
    """Harmful requests with refusals, for lisa: file, hub id or 'organism'."""
    benign: str | None = None
    """Harmless pairs, for defenses that ask for them: file, hub id or 'organism'."""
    lookalike: str | None = None
    """Harmless requests that look dangerous, answered, for repairs: file, hub id or 'organism'."""
    validation: str | None = None
    """Pairs on which a defense chooses its strength: file, hub id or 'organism'."""
    columns: str | None = None
    """Columns of --data, such as prompt=question,completion=answer."""
    harmful_columns: str | None = None
    """Columns of --harmful, such as prompt=goal,completion=target."""
    harmful_limit: int | None = None
    """Most rows of --harmful to read; all by default."""
    turns: Literal["all", "last"] = "all"
    """Which of the assistant's turns in a conversation are learned: all, or the last."""
    eval_data: str | None = None
    """Rows whose loss is measured along the way and never learned: file, hub id or 'organism'."""
    eval_steps: int | None = None
    """Optimizer steps between two looks at --eval-data; once an epoch without it."""
    keep_best: bool = False
    """Keep the weights of the lowest loss on --eval-data, instead of the last ones."""
    early_stopping: int | None = None
    """Stop when so many looks in a row found no lower loss on --eval-data; keeps the best."""
    split: str = "train"
    """Split of a hub data set, or of a folder with several, in --data."""
    limit: int | None = None
    """Most rows of --data to read; all by default."""
    screen: Path | None = None
    """The screen.json of --data: drops and masks what it says, and records it."""
    screen_control: bool = False
    """Drop as many rows as --screen does, at random: what a screening must be better than."""
    config: Path | None = None
    """YAML file with options of TRL's SFTConfig; the command line wins over it."""
    set: list[str] = field(default_factory=list[str])
    """One option of SFTConfig, KEY=VALUE; repeat for several; wins over --config."""
    learning_rate: float | None = None
    """Peak learning rate of the optimizer; SFTConfig's own default without it."""
    epochs: float | None = None
    """Passes over the data; SFTConfig's own default without it."""
    max_steps: int | None = None
    """Optimizer steps in all, instead of epochs."""
    batch_size: int | None = None
    """Rows per forward pass on each device; SFTConfig's own default without it."""
    accumulation: int | None = None
    """Forward passes per optimizer step; SFTConfig's own default without it."""
    save_steps: int | None = None
    """Optimizer steps between checkpoints; 100 without it."""
    seed: int | None = None
    """Seed of the order of rows, of dropout and of the defenses; 0 where nothing gives one."""
    lora: bool = False
    """Train a LoRA adapter instead of all weights."""
    lora_r: int = 8
    """Rank of the adapter."""
    lora_alpha: float = 16
    """Scale of the adapter: its change is alpha / r times B A."""
    lora_dropout: float = 0.0
    """Dropout in front of the adapter, in [0, 1)."""
    lora_targets: str = "all-linear"
    """Modules that get an adapter: all-linear, or names with commas such as q_proj,v_proj."""
    artifacts: Path | None = None
    """Folder for what defenses keep apart from the model; OUTPUT-artifacts by default."""
    export: Path | None = None
    """Folder for a copy of it that others may read, private things too: they undo the safety."""
    overwrite: bool = False
    """Replace an existing output folder, once the new one is complete."""
    resume: bool = False
    """Go on from the last checkpoint of a run that was stopped."""


@dataclass(kw_only=True)
class AlignConfig(TuneConfig):
    """One run on alignment data, before a user's data are seen, with alignment-stage defenses."""

    stage: ClassVar[Literal["tune", "align"]] = "align"

    data: str
    """Alignment data, refusals among harmless answers: a file, a hub id, or 'organism'."""


@dataclass(kw_only=True)
class RepairConfig(ModelConfig, TestConfig):
    """One repair of a finished model or adapter, without the user's data."""

    output: Path
    """Folder for the repaired model or adapter, result.json and report.html."""
    harmful: str | None = None
    """The defender's harmful pairs (request, compliant answer): file, hub id, kit or 'organism'."""
    adapter: Path | None = None
    """Folder of a LoRA adapter on the model; then only the adapter is repaired."""
    method: str = "panacea"
    """The repair, NAME[:key=value,...]; holdfast list shows those of the stage repair."""
    harmful_columns: str | None = None
    """Columns of --harmful, such as prompt=goal,completion=target."""
    safe: str | None = None
    """Harmful requests with refusals, for a repair that leads back to them; file or hub id."""
    benign: str | None = None
    """Harmless pairs that a repair must keep as they are: file, hub id or 'organism'."""
    lookalike: str | None = None
    """Harmless requests that look dangerous, answered, for repairs: file, hub id or 'organism'."""
    harmful_limit: int | None = None
    """Most rows of --harmful to read; all by default."""
    turns: Literal["all", "last"] = "all"
    """Which of the assistant's turns in a conversation are learned: all, or the last."""
    validation: str | None = None
    """Pairs on which the strength is chosen: file, hub id or 'organism'."""
    streamed: bool = False
    """Read, edit and write one shard at a time, for a model larger than the memory."""
    max_task_drop: float | None = None
    """Largest drop of the score on --validation that the repair may cost, in [0, 1]."""
    artifacts: Path | None = None
    """Folder for what is kept apart from the model; OUTPUT-artifacts by default."""
    export: Path | None = None
    """Folder for a copy of it that others may read, private things too: they undo the safety."""
    overwrite: bool = False
    """Replace an existing output folder, once the new one is complete."""


@dataclass(kw_only=True)
class EvaluateConfig(ModelConfig, AnswerOptions, BenchmarkOptions, AttackOptions, GateOptions):
    """One measurement of a model."""

    harmful: str | None = also("test_harmful")
    """Harmful requests: what share of them is answered (harmful score); a file, hub id or kit."""
    safe: str | None = also("test_safe")
    """Questions that look scary and are harmless: what share is refused (over-refusal)."""
    task: str | None = also("test_task")
    """Questions of the user's task with answers: what share is right (fine-tuning accuracy)."""
    useful: str | None = also("test_useful")
    """Questions of what the model could do before: what share is right (usefulness)."""
    kit: str | None = None
    """Public sets for all that is not given: default, or a YAML file of ROLE: KIT."""
    adapter: Path | None = None
    """Folder of a LoRA adapter to load on the model."""
    columns: str | None = None
    """Columns of all files, such as prompt=question,completion=answer; for one: FILE::prompt=x."""
    limit: int | None = also("test_limit")
    """Most questions read from each file; all by default."""
    judge: list[str] = field(default_factory=list[str])
    """Who reads the answers, NAME[:key=value,...]; repeat for a second one beside the first."""
    refusal_phrases: Path | None = None
    """Judge by the phrases of a file, one a line or a JSON list, and not by the learned judge."""
    max_new_tokens: int = 64
    """Longest answer, in tokens."""
    batch_size: int = 64
    """Prompts answered at a time."""
    show_harmful: bool = False
    """Show harmful prompts and answers in the report instead of redacting them."""
    output: Path | None = None
    """Folder for result.json and report.html; nothing is written without it."""
    overwrite: bool = False
    """Replace an existing output folder, once the new one is complete."""


@dataclass(kw_only=True)
class RedteamConfig(EvaluateConfig):
    """One measurement of a model under attacks."""

    attacks: str | None = "gate"
    """Attacks with the harmful questions: gate (1 to 5), nightly (1 to 7), or names with commas."""
    freeze: Path | None = None
    """Write the attack prompts with their hash to this file, and end before a model is loaded."""


@dataclass(kw_only=True)
class InspectConfig:
    """One look at a model without its weights."""

    model: str
    """Model folder, hub id (owner/name; config and tokenizer are fetched alone), or 'organism'."""
    adapter: Path | None = None
    """Folder of a LoRA adapter on the model."""
    revision: str | None = None
    """Branch, tag or commit of a hub model; its default branch without it."""
    chat_template: Path | None = None
    """Jinja file with a chat template, in place of the model's own."""
    trust_remote_code: bool = False
    """Run code that comes with the model; off, because it can do anything on this machine."""


@dataclass(kw_only=True)
class JudgeConfig:
    """Judges of answers that exist already."""

    file: str
    """Questions and answers, and people's labels where there are some: a data file or a hub id."""
    judge: list[str] = field(default_factory=list[str])
    """Who reads the answers, NAME[:key=value,...]; repeat for a second one beside the first."""
    refusal_phrases: Path | None = None
    """Judge by the phrases of a file, one a line or a JSON list, and not by the learned judge."""
    columns: str | None = None
    """Columns of the file, such as prompt=question,answer=reply,label=human."""
    labels: str | None = None
    """What the file's labels mean, such as refusal=no|declined,compliance=yes."""
    by: str | None = None
    """Column by which agreement is told apart, such as model."""
    kind: str = "harmful"
    """What the questions are: harmful, or safe ones whose refusals are over-refusals."""
    limit: int | None = None
    """Most rows read; all by default."""
    show_harmful: bool = False
    """Write questions and answers beside the verdicts instead of leaving them out."""
    output: Path | None = None
    """Folder for verdicts.jsonl and judgement.json; nothing is written without it."""
    overwrite: bool = False
    """Replace an existing output folder, once the new one is complete."""


@dataclass(kw_only=True)
class AnalyzeConfig(ModelConfig, AnalysisOptions):
    """One analysis of where safety sits in a model."""

    harmful: str
    """Harmful prompts, at least 20: file, hub id or 'organism'; answers are ignored."""
    benign: str
    """Benign prompts of the same style, at least 20: file, hub id or 'organism'."""
    output: Path
    """Folder for robustness.json, robust_modules.json, the probe, analysis.json and report.html."""
    adapter: Path | None = None
    """Folder of a LoRA adapter on the model; it is part of what is analyzed."""
    harmful_ood: str | None = None
    """Harmful prompts of another kind, only to test the probe on; the organism has its own."""
    benign_ood: str | None = None
    """Benign prompts of another kind, only to test the probe on."""
    columns: str | None = None
    """Column of the prompts in all files, such as prompt=question."""
    limit: int | None = None
    """Most prompts read from each file; all by default."""
    against: Path | None = None
    """A model or adapter fine-tuned from this one: how far did it move?"""
    overwrite: bool = False
    """Replace an existing output folder, once the new one is complete."""
