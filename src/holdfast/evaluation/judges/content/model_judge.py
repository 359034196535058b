"""What all judges have in common that are models themselves."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from holdfast.errors import ConfigError
from holdfast.evaluation.judges.content.loading import Head, located, opened, tokenizer_in
from holdfast.evaluation.judges.content.template import (
    SHORT,
    check_pin,
    digest,
    disarmed,
    form_of,
    rendered,
)
from holdfast.evaluation.judges.content.verdicts import Reading, by_reference, verdict_of
from holdfast.evaluation.metrics import Item, Kind, Verdict

__all__ = ["Asked", "ModelJudge", "TemplateJudge", "TextJudge"]

READABLE = {"content": "readable", "garbled": "unreadable"}


@dataclass(frozen=True)
class Asked:
    """One question with its answer, without control tokens of the judge's."""

    question: str
    answer: str
    turns: tuple[Mapping[str, str], ...] = ()
    """The conversation up to the answer, without a system message."""

    @property
    def messages(self) -> list[Mapping[str, str]]:
        """The conversation with the answer."""
        return [*self.turns, {"role": "assistant", "content": self.answer}]


@dataclass(frozen=True, kw_only=True)
class ModelJudge(ABC):
    """A judge that is a model: it loads it, asks it of each answer, and reads what it says.

    It sees content, but it does not know the right answer: what it calls harmful is split into
    readable and unreadable.

    Attributes:
        model: Folder or hub id of the judge's model.
        adapter: Folder or hub id of a LoRA adapter on it.
        revision: Commit, branch or tag of the model's hub id.
        template_hash: The template that it must be asked with: first digits of its SHA-256.
        dtype: Type of its weights in memory.
        batch_size: Answers that it reads at a time.
    """

    model: str = ""
    adapter: str = ""
    revision: str = ""
    template_hash: str = ""
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    batch_size: int = 8

    title: ClassVar[str]
    """What it is called, without its version."""
    hub_id: ClassVar[str]
    """Where its card is."""
    words: ClassVar[dict[str, str]] = READABLE
    kinds: ClassVar[frozenset[Kind]] = frozenset({"harmful"})
    """The questions whose answers it reads; safe ones only where it tells refusals."""
    head: ClassVar[Head] = "words"

    @property
    def version(self) -> str:
        """Rises with the text that is asked, and with how its answer is read."""
        return "1"

    @property
    def name(self) -> str:
        """Title and version, and which model it is where one is given."""
        which = f" ({self.model.rstrip('/').rpartition('/')[2]})" if self.model else ""
        return f"{self.title}/{self.version}{which}"

    def prepare(self) -> list[str]:
        """Check the model's files and the template, before anything is computed.

        Raises:
            ConfigError: No model is given, a number is out of range, or the template is another
                than the pinned one.
            ModelError: The model cannot be used.
        """
        if not self.model:
            raise ConfigError(f"needs its model: add model=DIR, or its hub id: model={self.hub_id}")
        if self.batch_size < 1:
            raise ConfigError(f"batch_size={self.batch_size} is out of range, expected at least 1")
        tokenizer = tokenizer_in(located(self.model, self.revision))
        check_pin(self.template_hash, self.asked_with(tokenizer))
        return []

    def __call__(self, items: Sequence[Item], answers: Sequence[str]) -> list[Verdict]:
        """Return one verdict for each item and its answer, in order."""
        pairs = list(zip(items, answers, strict=True))
        verdicts = [by_reference(item, answer, self.name) for item, answer in pairs]
        places = [n for n, (item, _) in enumerate(pairs) if item.kind in self.kinds]
        read = self._read([pairs[n] for n in places]) if places else []
        for place, verdict in zip(places, read, strict=True):
            verdicts[place] = verdict
        return verdicts

    def _read(self, pairs: Sequence[tuple[Item, str]]) -> list[Verdict]:
        """Return the verdicts of the model, which is loaded for them."""
        folder = located(self.model, self.revision)
        adapter = located(self.adapter, field="adapter") if self.adapter else None
        tokenizer = tokenizer_in(folder)
        template = self.asked_with(tokenizer)
        check_pin(self.template_hash, template)
        asked = [_asked(item, answer, tokenizer) for item, answer in pairs]
        with opened(folder, self.head, self.dtype, adapter) as model:
            found = self.read(model, tokenizer, asked)
        return [
            verdict_of(item, answer, reading, self.name, template[:SHORT])
            for (item, answer), reading in zip(pairs, found, strict=True)
        ]

    @abstractmethod
    def asked_with(self, tokenizer: Any) -> str:
        """Return the SHA-256 of what the model is asked with; it is checked to be of use."""

    @abstractmethod
    def read(self, model: Any, tokenizer: Any, asked: Sequence[Asked]) -> list[Reading]:
        """Return what the model says of each answer."""


@dataclass(frozen=True, kw_only=True)
class TemplateJudge(ModelJudge):
    """A judge whose model brings the template that it is asked with."""

    options: ClassVar[Mapping[str, Any]] = {}
    """What the template is given beside the conversation."""

    def asked_with(self, tokenizer: Any) -> str:
        """Return the hash of the model's own chat template."""
        form_of(tokenizer, self.options)
        return digest(str(tokenizer.chat_template))

    def rows(
        self, tokenizer: Any, asked: Sequence[Asked], options: Mapping[str, Any] | None = None
    ) -> list[list[int]]:
        """Return the token ids of each conversation in the template."""
        given = self.options if options is None else options
        parts = form_of(tokenizer, given)
        texts = [rendered(tokenizer, one.messages, given, parts=parts) for one in asked]
        return [list(tokenizer(text, add_special_tokens=False).input_ids) for text in texts]


@dataclass(frozen=True, kw_only=True)
class TextJudge(ModelJudge):
    """A judge whose model is asked with a text that its card gives."""

    text: ClassVar[str]
    """The text, with ``{question}`` and ``{answer}``."""
    begins: ClassVar[bool] = True
    """The tokenizer puts its own first token before the text."""

    def asked_with(self, tokenizer: Any) -> str:
        """Return the hash of the text."""
        return digest(self.text)

    def rows(self, tokenizer: Any, asked: Sequence[Asked]) -> list[list[int]]:
        """Return the token ids of the text for each answer."""
        texts = [self.text.format(question=one.question, answer=one.answer) for one in asked]
        how = {"add_special_tokens": self.begins}
        return [list(tokenizer(text, **how).input_ids) for text in texts]


def _asked(item: Item, answer: str, tokenizer: Any) -> Asked:
    turns = tuple(
        {"role": turn["role"], "content": disarmed(turn["content"], tokenizer)}
        for turn in item.prompt
        if turn["role"] != "system"
    )
    return Asked(disarmed(item.question, tokenizer), disarmed(answer, tokenizer), turns)
