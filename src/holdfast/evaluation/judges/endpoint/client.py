"""One question to a chat endpoint, with patience: what fails for a while is asked again.

==========================  ==============================================================
429, 5xx, no connection,    asked again after a pause that doubles, or the pause that the
no answer in time           server asks for (``Retry-After``), up to a minute
400 that names a setting    asked again without it: some servers do not know it
401, 402, 403, 404,         nothing more is asked
no money
a redirect                  nothing more is asked: prompts go where the user said
any other status            this question has no answer
200 with an error in it     as the status that the error names; asked again where it names none
==========================  ==============================================================

Errors never hold the key, a prompt, or what the server wrote but for a code of one word.
"""

import email.utils
import json
import random
import re
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from holdfast.evaluation.judges.endpoint.stated import NO_STATUS, error_in, stated_status
from holdfast.evaluation.reply import whole

try:
    import httpx2 as http
except ImportError:  # huggingface_hub brings the one or the other; they are alike in what is used.
    import httpx as http  # type: ignore[no-redef]

__all__ = ["Chat", "NoAnswerError", "Sent"]

LONGEST_PAUSE = 60.0
MOST_BYTES = 1_000_000
_FOR_GOOD = frozenset({401, 402, 403, 404})
_BUSY = frozenset({NO_STATUS, 408, 409, 425, 429})
_CODE = re.compile(r"[A-Za-z][\w.-]{0,59}")
_OPTIONAL = {"temperature": 0, "max_tokens": 512, "seed": 0}


class NoAnswerError(Exception):
    """The endpoint gave no answer; the message has no secret and no prompt in it."""

    def __init__(
        self, why: str, *, again: bool = True, over: bool = False, pause: float | None = None
    ) -> None:
        super().__init__(why)
        self.again = again
        """The same question may have an answer in a while."""
        self.over = over
        """No question will have one."""
        self.pause = pause
        """Seconds that the server asks to wait."""


class Sent(Protocol):
    """Sends one conversation and returns what the endpoint wrote."""

    def __call__(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Return the text, or raise ``NoAnswerError``."""
        ...


@dataclass
class Chat:
    """Asks one model of one endpoint.

    Attributes:
        url: Address of the server's API, such as https://host/v1.
        model: What the server calls the model.
        key: The secret, or "" for a server that wants none.
        timeout: Seconds that one answer may take in all.
        retries: How often a question is asked again.
        backoff: Seconds of the first pause.
        sleep: Waits.
    """

    url: str
    model: str
    key: str = field(default="", repr=False)
    timeout: float = 60.0
    retries: int = 5
    backoff: float = 1.0
    sleep: Callable[[float], None] = time.sleep
    _left_out: set[str] = field(default_factory=set[str], init=False)
    _client: Any = field(default=None, init=False, repr=False)

    @contextmanager
    def open(self) -> Generator[Sent]:
        """Yield what sends a conversation; connections are kept until the end."""
        headers = {"authorization": f"Bearer {self.key}"} if self.key else {}
        with http.Client(timeout=self.timeout, headers=headers, follow_redirects=False) as client:
            self._client = client
            yield self.ask

    def ask(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Return what the endpoint wrote.

        Raises:
            NoAnswerError: It gave no answer, also when it was asked again.
        """
        for again in range(self.retries + 1):
            try:
                return self._once(messages)
            except NoAnswerError as error:
                if not error.again or again == self.retries:
                    raise
                self.sleep(self._pause(again, error.pause))
        raise AssertionError("the last try has answered or raised")

    def _pause(self, again: int, asked_for: float | None) -> float:
        own = self.backoff * 2**again * (1 + random.random() / 4)  # noqa: S311  # No secret.
        return min(max(own, asked_for or 0.0), LONGEST_PAUSE)

    def _once(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Ask once, and once more without each setting that the server does not know."""
        for _ in range(len(_OPTIONAL) + 1):
            # Questions run side by side: what another one has left out may be in this one's body.
            sent = {k: v for k, v in _OPTIONAL.items() if k not in self._left_out}
            status, headers, body = self._post(messages, sent)
            stated = stated_status(_read(body)) if status == 200 else None
            unknown = _unknown_setting(body) if 400 in (status, stated) else ""
            if unknown in sent:
                self._left_out.add(unknown)
            elif status == 200 and stated is None:
                return self._without_key(_content(body))
            else:
                raise _failure(status, stated, headers, body, self.key)
        raise NoAnswerError("HTTP 400", again=False)

    def _without_key(self, text: str) -> str:
        """Return what a server wrote, which is kept, without the key that it may send back."""
        return text.replace(self.key, "[key]") if self.key else text

    def _post(
        self, messages: Sequence[Mapping[str, str]], settings: Mapping[str, int]
    ) -> tuple[int, Mapping[str, str], bytes]:
        asked = {"model": self.model, "messages": [dict(m) for m in messages], **settings}
        where, started, body = f"{self.url.rstrip('/')}/chat/completions", time.monotonic(), b""
        try:
            with self._client.stream("POST", where, json=asked) as reply:
                for chunk in reply.iter_bytes():
                    body += chunk
                    if len(body) > MOST_BYTES:
                        raise NoAnswerError("an answer of over 1 MB")
                    if time.monotonic() - started > self.timeout:
                        raise NoAnswerError(_slow(self.timeout))
                return reply.status_code, reply.headers, body
        except http.TimeoutException:
            raise NoAnswerError(_slow(self.timeout)) from None
        except http.HTTPError as error:
            # The error's own text may hold the address with a name and password in it.
            raise NoAnswerError(f"no connection ({type(error).__name__})") from None
        except (http.InvalidURL, ValueError) as error:
            said = f"no address ({type(error).__name__})"
            raise NoAnswerError(said, again=False, over=True) from None


def _slow(timeout: float) -> str:
    return f"no answer in {timeout:g} s"


def _failure(
    status: int, stated: int | None, headers: Mapping[str, str], body: bytes, key: str
) -> NoAnswerError:
    """Return what an answer without a text means; ``stated`` is the status of an error in a 200."""
    code = _code_in(body)
    code = "" if key and key in code else code  # A word that looks like a code may be the key.
    meant = status if stated is None else stated
    told = f"{f'HTTP {meant}' if meant else 'an error'}{f' {code}' if code else ''}"
    why = told if stated is None else f"{told}, sent as HTTP {status}"
    # An account without money answers 429 for good.
    over = meant in _FOR_GOOD or 300 <= meant < 400 or code == "insufficient_quota"
    again = not over and (meant in _BUSY or meant >= 500)
    pause = _asked_pause(headers.get("retry-after", ""))
    return NoAnswerError(why, again=again, over=over, pause=pause)


def _content(body: bytes) -> str:
    try:
        found: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise NoAnswerError("an answer that is no whole JSON") from None
    try:
        choice = found["choices"][0]
        # A model that declines may say it in a member of its own, and have no content.
        text = choice["message"].get("content") or choice["message"].get("refusal")
        if not text and choice.get("finish_reason") == "content_filter":
            raise NoAnswerError("HTTP 200 content_filter", again=False)
        text = choice["message"]["content"] if text is None else text
    except (TypeError, KeyError, IndexError, AttributeError):
        said = "an answer without choices[0].message.content"
        raise NoAnswerError(said, again=False) from None
    if not isinstance(text, str):
        raise NoAnswerError("an answer whose content is no text")
    return whole(text)


def _asked_pause(value: str) -> float | None:
    """Return the seconds of a ``Retry-After``: a number, or a date."""
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def _error_in(body: bytes) -> Mapping[str, Any]:
    inner = error_in(_read(body))
    return inner if isinstance(inner, dict) else {}


def _read(body: bytes) -> Any:
    """Return the JSON of an answer, None where it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _code_in(body: bytes) -> str:
    """Return the error's code or type, where it is one word: its text may quote key and prompt."""
    error = _error_in(body)
    said = [error.get("code"), error.get("type")]
    return next((s for s in said if isinstance(s, str) and _CODE.fullmatch(s)), "")


def _unknown_setting(body: bytes) -> str:
    """Return the setting that a server refuses by name, or ""."""
    error = _error_in(body)
    told = f"{error.get('param')} {error.get('message')}"
    return next((name for name in _OPTIONAL if name in told), "")
