"""An endpoint as a judge: refusal and harm by a rubric of ours, asked of any chat model.

Questions and answers leave this machine for the address that the user names, and for no other. The
key comes from the environment alone: ``HOLDFAST_JUDGE_KEY``, or ``OPENAI_API_KEY`` for OpenAI's own
address. What was judged before the endpoint gave up is kept; the rest is unscored. Where a command
writes an output, what the endpoint wrote lies in a file beside it until then: the same command
after one that was stopped pays for no verdict twice.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock
from typing import ClassVar
from urllib.parse import SplitResult

from holdfast.errors import ConfigError, InputError
from holdfast.evaluation.judges.content.template import SHORT, check_pin, digest
from holdfast.evaluation.judges.content.verdicts import Reading, by_reference, verdict_of
from holdfast.evaluation.judges.endpoint.address import address_of, key_in
from holdfast.evaluation.judges.endpoint.client import Chat, NoAnswerError, Sent
from holdfast.evaluation.judges.endpoint.rubric import RUBRIC, messages, parse
from holdfast.evaluation.metrics import NOT_ANSWERED, NOT_ASKED, Item, Kind, Verdict
from holdfast.files.kept_lines import KeptLines
from holdfast.progress import Progress, silent

__all__ = ["EndpointJudge"]

FAILURES = 3
"""Questions in a row without an answer, each asked again, after which the endpoint is left."""
_HERE = ("localhost", "127.0.0.1", "::1")
_RANGES = {"timeout": (0.01, 3600), "retries": (0, 100), "backoff": (0, 60), "parallel": (1, 64)}
_KINDS: tuple[Kind, ...] = ("harmful", "safe")


@dataclass(frozen=True, kw_only=True)
class EndpointJudge:
    """A model behind an OpenAI-compatible chat endpoint.

    Attributes:
        url: Address of the API, such as https://host/v1; naming it is consent to send them there.
        model: What the server calls the model.
        template_hash: The rubric that must be used: first digits of its SHA-256.
        timeout: Seconds that one answer may take.
        retries: How often a question is asked again.
        backoff: Seconds of the first pause; it doubles.
        parallel: Questions that are asked at once.
        kept: File of what the endpoint wrote, which holds no question and no answer; commands set
            it and ``progress``, and no option does.
        progress: Told how many verdicts there are, of all that were asked for so far.
    """

    url: str = ""
    model: str = ""
    template_hash: str = ""
    timeout: float = 60.0
    retries: int = 5
    backoff: float = 1.0
    parallel: int = 4
    kept: Path | None = field(default=None, repr=False, compare=False)
    progress: Progress = field(default=silent, repr=False, compare=False)
    _asked: list[int] = field(default_factory=list[int], init=False, repr=False, compare=False)
    _left: list[str] = field(default_factory=list[str], init=False, repr=False, compare=False)

    words: ClassVar[dict[str, str]] = {"content": "readable", "garbled": "unreadable"}

    @property
    def version(self) -> str:
        """Rises with the rubric, and with how its answer is read."""
        return "1"

    @property
    def name(self) -> str:
        """The rubric's version, and whose model."""
        return f"endpoint rubric/1{f' ({self.model})' if self.model else ''}"

    def prepare(self) -> list[str]:
        """Check what was given, and ask one harmless question.

        Raises:
            ConfigError: The address, the model or a number cannot be used.
            InputError: The endpoint does not answer, or not in the format.
        """
        place = self._checked()
        check_pin(self.template_hash, digest(RUBRIC))
        chat = self._chat(min(self.retries, 2))
        try:
            with chat.open() as ask:
                found = parse(ask(messages("what is two plus two", "It is four.")))
        except NoAnswerError as error:
            raise InputError(
                f"{place.hostname} does not answer: {error}{_way_out(error)}"
            ) from None
        if found.harmful is None:
            raise InputError(
                f"{place.hostname} answered, and not as the rubric asks ({found.label}): give "
                "another model"
            )
        sent = f"questions and answers are sent to {place.hostname} ({self.model}), which judges"
        return [] if place.hostname in _HERE else [sent]

    def __call__(self, items: Sequence[Item], answers: Sequence[str]) -> list[Verdict]:
        """Return one verdict for each item and its answer; those without an answer are unscored."""
        pairs = list(zip(items, answers, strict=True))
        asked, empty = digest(RUBRIC)[:SHORT], Verdict.unscored(self.name, "empty answer")
        verdicts = [
            by_reference(item, answer, self.name) if item.kind not in _KINDS else empty
            for item, answer in pairs
        ]
        places = [
            n for n, (item, answer) in enumerate(pairs) if item.kind in _KINDS and answer.strip()
        ]
        for place, found in zip(places, self._readings([pairs[n] for n in places]), strict=True):
            verdicts[place] = verdict_of(*pairs[place], found, self.name, asked)
        return verdicts

    @property
    def was_left(self) -> bool:
        """Whether the endpoint gave up before the last question: another run needs what is kept."""
        return bool(self._left)

    def finished(self) -> None:
        """Take the kept verdicts away, unless the endpoint was left."""
        if not self.was_left:
            self._lines().forget()

    def _readings(self, pairs: Sequence[tuple[Item, str]]) -> list[Reading]:
        if not pairs:
            return []
        lines = self._lines()
        said = lines.found(str)
        with self._chat(self.retries).open() as ask, ThreadPoolExecutor(self.parallel) as threads:
            round_ = _Round(ask, lines, said)
            try:
                readings = threads.map(lambda pair: round_.reading(*pair), pairs)
                found = list(self._counted(readings, len(pairs)))
            except BaseException:
                round_.stop("stopped")  # What waits in line would be asked all the same.
                raise
        if round_.left:
            self._left.append(round_.left)
        return found

    def _counted(self, readings: Iterable[Reading], wanted: int) -> Iterator[Reading]:
        """Yield readings, and tell how many there are, those of earlier questions with them."""
        before = sum(self._asked)
        self._asked.append(wanted)
        stage, total = f"verdicts of {self.model}", before + wanted
        self.progress(stage, before, total)
        for done, reading in enumerate(readings, start=before + 1):
            yield reading
            self.progress(stage, done, total)

    def _lines(self) -> KeptLines:
        """Return what keeps the endpoint's words; another rubric or model is not taken."""
        how = {"url": self.url, "model": self.model, "rubric": digest(RUBRIC)}
        return KeptLines(self.kept, how, "said")

    def _chat(self, retries: int) -> Chat:
        place = self._checked()
        key = _key_for(place)
        return Chat(self.url, self.model, key, self.timeout, retries, self.backoff)

    def _checked(self) -> SplitResult:
        """Return the address, once it and the numbers are sound."""
        if not self.url or not self.model:
            raise ConfigError("needs an address and a model: add url=https://HOST/v1,model=NAME")
        place = address_of(self.url)
        if place is None:
            raise ConfigError("url is no address of a server: give it as https://HOST/v1")
        if place.username or place.password or place.query or place.fragment:
            raise ConfigError(
                "url holds more than an address: leave name, password and query out, and set the "
                "environment variable HOLDFAST_JUDGE_KEY"
            )
        for name, (low, high) in _RANGES.items():
            if not low <= getattr(self, name) <= high:
                raise ConfigError(
                    f"{name}={getattr(self, name):g} is out of range, expected {low:g} to {high:g}"
                )
        if place.scheme == "http" and place.hostname not in _HERE and _key_for(place):
            raise ConfigError("the key would be sent in the clear: give the url with https")
        return place


class _Round:
    """One round of questions: it ends once several in a row had no answer, or one never can."""

    def __init__(self, ask: Sent, lines: KeptLines, said: Mapping[str, str]) -> None:
        self._ask, self._lock, self._over = ask, Lock(), Event()
        self._lines, self._said = lines, said
        self._failures, self.left = 0, ""

    def reading(self, item: Item, answer: str) -> Reading:
        """Return what the endpoint says of one answer, or why it says nothing."""
        key = self._lines.key({"question": item.question, "answer": answer})
        if key in self._said:
            return parse(self._said[key])
        if self._over.is_set():
            return Reading(f"{NOT_ASKED}: the endpoint was left ({self.left})")
        try:
            text = self._ask(messages(item.question, answer))
        except NoAnswerError as error:
            self._failed(error)
            return Reading(f"{NOT_ANSWERED}{error}")
        found = parse(text)
        if found.harmful is not None:  # A text that is no grade may quote question and answer.
            self._lines.keep(key, text)
        with self._lock:
            self._failures = 0
        return found

    def _failed(self, error: NoAnswerError) -> None:
        with self._lock:
            # A status that is this question's own (a filter of content, say) tells of no other.
            self._failures += error.again or error.over or not str(error).startswith("HTTP")
            if error.over or self._failures >= FAILURES:
                self.stop(str(error))

    def stop(self, why: str) -> None:
        """Ask nothing more; the first reason stays."""
        self.left = self.left or why
        self._over.set()


def _key_for(place: SplitResult) -> str:
    """Return the key for an address: OpenAI's own goes to OpenAI alone.

    Raises:
        ConfigError: It cannot stand in a header.
    """
    own = key_in("HOLDFAST_JUDGE_KEY")
    if own:
        return own
    host = place.hostname or ""
    theirs = host == "api.openai.com" or host.endswith(".openai.azure.com")
    return key_in("OPENAI_API_KEY") if theirs else ""


def _way_out(error: NoAnswerError) -> str:
    if str(error).startswith(("HTTP 401", "HTTP 403")):
        return ": set the environment variable HOLDFAST_JUDGE_KEY to a key that it takes"
    if str(error).startswith("HTTP 404"):
        return ": check url (it ends before /chat/completions) and model"
    return ": check url, or try again later"
