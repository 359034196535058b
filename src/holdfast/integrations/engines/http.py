"""Asking a server for JSON: patient where it is busy, and one clear line where it fails."""

import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from holdfast.errors import ConfigError, RunError
from holdfast.evaluation.judges.endpoint.address import address_of
from holdfast.evaluation.judges.endpoint.stated import NO_STATUS, error_in, stated_status

__all__ = ["GarbageError", "Server"]

_BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_LONGEST = 60.0
"""Most seconds between two tries, whatever the server asks for."""
_MOST = 32 * 2**20
"""Most bytes of one response that are read."""


class GarbageError(ValueError):
    """What a server sent is not what its interface says."""


class _StatedError(Exception):
    """An answer to a question tells an error in place of a text; some gateways send it as 200."""

    def __init__(self, status: int, document: Any) -> None:
        said = " ".join(str(error_in(document)).split())[:200]
        told = f"HTTP {status}" if status != NO_STATUS else "an error"
        super().__init__(f"{told}, sent as HTTP 200: {said}")
        self.again = status in _BUSY or status == NO_STATUS


class _StaysHere(HTTPRedirectHandler):
    """Follows no redirect: prompts and the key go to the address that was given and no other."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Return no further request."""


@dataclass(frozen=True)
class Server:
    """One address below which JSON is asked for."""

    url: str
    key: str | None = None
    """Sent as a bearer token; stands in no message."""
    timeout: float = 120.0
    """Seconds that one answer may take."""
    tries: int = 5
    pause: float = 1.0
    """Seconds before the second try; each further one waits twice as long."""

    @classmethod
    def at(cls, url: str, field: str, key: str | None = None, timeout: float = 120.0) -> "Server":
        """Return the server of an address.

        Raises:
            ConfigError: It is no plain http(s) address.
        """
        place = address_of(url)
        if place is None or not place.path.isascii():
            raise ConfigError(
                f"`{field}`: is no address: give the one below which chat/completions lies, such "
                "as http://localhost:8000/v1"
            )
        if place.username or place.password or place.query or place.fragment:
            raise ConfigError(
                f"`{field}={place.scheme}://{place.hostname}…`: holds a name, a key or a query: "
                "give the plain address, and a key in the environment"
            )
        return cls(url.rstrip("/"), key, timeout)

    def ask(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON of ``path``; a busy server is asked again, for longer each time.

        Raises:
            GarbageError: It sent no JSON, each time.
            RunError: It does not answer, or refuses.
        """
        for left in reversed(range(self.tries)):
            try:
                return self._once(path, body)
            except (GarbageError, _StatedError, OSError, HTTPException) as error:
                self._check_again(path, error, last=not left)
                # An HTTPError, which has headers, is an OSError.
                wait = _asked_for(getattr(error, "headers", None))
            growing = self.pause * 2 ** (self.tries - left - 1) * random.uniform(1, 1.25)  # noqa: S311
            time.sleep(min(wait if wait is not None else growing, _LONGEST))
        raise AssertionError("the last try returns or raises")

    def _check_again(self, path: str, error: Exception, *, last: bool) -> None:
        """Raise what ``ask`` does where another try is of no use, or this was the last."""
        said = ""
        if isinstance(error, HTTPError):
            said = self._refused(path, error) if last or error.code not in _BUSY else ""
        elif isinstance(error, _StatedError):
            said = f"{self.url}/{path}: {error}" if last or not error.again else ""
        elif last and isinstance(error, GarbageError):
            raise error
        elif last:  # Nobody there, a connection that was cut, or no HTTP at all.
            why = " ".join(str(getattr(error, "reason", None) or error).split())[:200]
            told = f"did not answer {self.tries} times ({type(error).__name__}: {why})"
            said = f"{self.url}/{path}: {told}"
        if said:
            raise RunError(said) from None

    def _once(self, path: str, body: Mapping[str, Any] | None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        headers |= {"Authorization": f"Bearer {self.key}"} if self.key else {}
        request = Request(f"{self.url}/{path}", data, headers)  # noqa: S310  # http(s) alone.
        with build_opener(_StaysHere).open(request, timeout=self.timeout) as response:
            text = _whole(response, time.monotonic() + self.timeout)
        if self.key:  # A server may send it back, and answers are kept.
            text = text.replace(self.key.encode(), b"[key]")
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise GarbageError(f"no JSON: {text[:60]!r}") from error
        # Some servers answer so, with 200, to a path that they do not have: only an answer counts.
        status = None if body is None else stated_status(document)
        if status is not None:
            raise _StatedError(status, document)
        return document

    def _refused(self, path: str, error: HTTPError) -> str:
        """Return what the server said when it refused, without the key."""
        try:
            said = " ".join(error.read(2000).decode(errors="replace").split())[:200]
        except (OSError, HTTPException):
            said = ""
        told = said.replace(self.key, "…") if self.key else said
        status = f"{self.url}/{path}: HTTP {error.code} {error.reason}"
        return f"{status}: {told}" if told else status


def _whole(response: HTTPResponse, end: float) -> bytes:
    """Return the body of a response, if all of it is there by ``end``, a time of the clock."""
    text = b""
    while len(text) < _MOST and (part := response.read1(_MOST - len(text))):
        text += part
        if time.monotonic() > end:
            raise TimeoutError("only a part came in time")
    return text


def _asked_for(headers: Message | None) -> float | None:
    """Return the seconds that the server asks to wait, if it says so in seconds."""
    given = str((headers or {}).get("Retry-After", ""))
    return float(given) if given.isascii() and given.isdigit() else None
