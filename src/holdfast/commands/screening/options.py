"""What ``holdfast screen`` takes; the field docstrings are the command line's help."""

from dataclasses import dataclass, field
from pathlib import Path

from holdfast.errors import ConfigError
from holdfast.inputs.configs import ALSO

__all__ = ["ScreenConfig"]

LEAST = {"limit": 1, "max_length": 1, "sample": 1, "top": 0}


@dataclass(kw_only=True)
class ScreenConfig:
    """One screening of a data set."""

    file: str
    """The data: a file, folder, pattern, several files with commas, hub id or kit."""
    model: str | None = None
    """Model folder or hub id whose tokenizer and chat template read the rows, or 'organism'."""
    revision: str | None = None
    """Branch, tag or commit of a hub model; its default branch without it."""
    device_map: str | None = None
    """Where the weights lie that score rows: auto, balanced, sequential, or a device as cuda:0."""
    chat_template: Path | None = None
    """Jinja file with a chat template, for tokenizers that have none."""
    max_length: int | None = None
    """Longest row in tokens that training will take; the model's longest by default."""
    harmful: str | None = None
    """The defender's harmful pairs: scores hold rows against them, shared prompts are told."""
    safe: str | None = None
    """The same requests with refusals, for the score anchor; shared prompts are told."""
    reference: list[str] = field(default_factory=list[str])
    """An ordinary instruction set that scores are percentiles of; repeat for further sets."""
    vector: Path | None = None
    """Folder of this base's security vector, for the score gap; keep it private."""
    calibration: Path | None = None
    """File that says what the scores are worth on this base."""
    gradients: bool = False
    """Also score norm: one backward pass for each row."""
    lora: bool = False
    """Score for a run that trains an adapter (rank 8, all linear layers), not all weights."""
    against: list[str] = field(default_factory=list[str])
    """Test or validation prompts that must not stand in the data; repeat for several."""
    guard: str | None = None
    """A judge that reads content, NAME:model=DIR: reads answers and their segments."""
    columns: str | None = None
    """Columns of the file, such as prompt=question,completion=answer."""
    split: str = "train"
    """Split of a hub data set, or of a folder that has several."""
    limit: int | None = None
    """Most rows to read; all by default."""
    sample: int | None = None
    """Look at so many rows, drawn at random, for a first impression."""
    top: int = 50
    """Most rows that the terminal and the page list."""
    show: bool = False
    """Show what was found in the rows instead of redacting it."""
    fail_if: str | None = None
    """Exit with 3 where this holds, such as 'drop>0 or dup>5%'."""
    clean: Path | None = None
    """File for the rows to keep, as JSON lines; the data itself is never changed."""
    output: Path | None = field(default=None, metadata={ALSO: "out"})
    """Folder for screen.json, screen.csv and screen.html; nothing is written without it."""
    overwrite: bool = False
    """Replace an existing output folder, once the new one is complete."""

    @property
    def beside(self) -> list[Path]:
        """What is read beside the data, and so must not be written over."""
        named = (self.model, self.harmful, self.safe, *self.reference, *self.against)
        files = (self.chat_template, self.vector, self.calibration)
        return [*map(Path, filter(None, named)), *filter(None, files)]

    def check(self) -> None:
        """Raise ``ConfigError`` where a number is out of range or two options exclude another."""
        for name, least in LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"`{name}={value}` is out of range, expected at least {least}")
        if self.sample is not None and self.clean is not None:
            raise ConfigError("`clean` needs every row looked at: leave out `sample`")
        for name in ("max_length", "revision", "chat_template"):
            if getattr(self, name) is not None and self.model is None:
                raise ConfigError(f"`{name}` is a model's, and none is given: add `model=DIR`")
        if self.clean is not None and self.clean.suffix != ".jsonl":
            raise ConfigError(f"`clean={self.clean}`: is written as JSON lines: end it in .jsonl")
        if self.clean is not None and self.clean.exists() and not self.overwrite:
            raise ConfigError(
                f"`clean={self.clean}`: the file exists: add `overwrite=True` or name another"
            )
