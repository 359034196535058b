"""What ``holdfast data`` takes; the field docstrings are the command line's help."""

from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["DataConfig", "DataOptions"]


@dataclass(kw_only=True)
class DataOptions:
    """How a file is looked at."""

    model: str | None = None
    """Model folder or hub id whose tokenizer and chat template count and show the rows."""
    revision: str | None = None
    """Branch, tag or commit of a hub model; its default branch without it."""
    chat_template: Path | None = None
    """Jinja file with a chat template, for tokenizers that have none."""
    against: list[str] = field(default_factory=list[str])
    """File, hub id or kit whose prompts must not stand in the file; repeat for several."""
    columns: str | None = None
    """Columns of the file, such as prompt=question,completion=answer."""
    split: str = "train"
    """Split of a hub data set, or of a folder that has several."""
    limit: int | None = None
    """Most rows to read; all by default."""
    max_length: int | None = None
    """Longest row in tokens; longer ones are named. The model's longest by default."""
    show: int = 3
    """Rows to show as the model reads them."""
    show_harmful: bool = False
    """Show rows whose prompts stand in a safety set too instead of redacting them."""


@dataclass(kw_only=True)
class DataConfig(DataOptions):
    """One look at a file."""

    file: str
    """A data file, a folder, a pattern, several files with commas, a hub id or a kit."""
