"""What the processes of one run tell each other beside their tensors: errors, and small values.

They talk through the key–value store that their launcher keeps for them. Waiting there has no time
limit, so that one may work for hours while the others wait; where one dies, the launcher ends all.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any, ClassVar, TypeVar

import torch
from accelerate.state import PartialState
from accelerate.utils import parse_flag_from_env
from torch import distributed
from torch.distributed.distributed_c10d import PrefixStore

from holdfast import errors
from holdfast.errors import ConfigError, HoldfastError, RunError, reason_of
from holdfast.files.outputs.processes import hush, place
from holdfast.training.compat import process_store

__all__ = ["TELLER", "Ranks"]

T = TypeVar("T")

_PAUSE = 0.05
_PATIENCE = 20.0
"""Seconds that processes of one launcher take to find each other on a busy machine."""
_OURS = "holdfast"
TELLER = "_holdfast_teller"
"""Attribute of an error: the process that tells it, where the first one cannot."""


class Ranks:
    """The processes of one run, seen from one of them; a run of one process is one too."""

    _runs: ClassVar[Iterator[int]] = count()

    def __init__(self) -> None:
        """Join the others; a program that has done so by itself is left as it is.

        Raises:
            ConfigError: The others are not found.
        """
        self.number, self.count = place()
        self._turn = 0
        self._launcher = os.getppid()
        # A launcher that starts them again keeps its store, with the words of the dead in it.
        self._attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        # A script may make several runs, and the store keeps what was said in the earlier ones.
        self._ours = f"{_OURS}/{self._attempt}/{next(self._runs)}"
        if self.count > 1 and not distributed.is_initialized():
            if not torch.cuda.is_available():  # Else the Trainer would see no other process.
                os.environ["ACCELERATE_USE_CPU"] = "true"
            _join(self._attempt)
        self._store: Any = process_store() if self.count > 1 else None

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.number == 0

    def shared(self, value: Any = None) -> Any:
        """Return the first process's value, which JSON can hold, in every process."""
        return self._exchanged(value)[0] if self.count > 1 else value

    def of_the_first(self, act: Callable[[], T]) -> T:
        """Return in every process what ``act`` gives in the first, which alone runs it.

        The others wait for it without a limit of time.
        """
        if self.count == 1:
            return act()
        with self.agreed():
            found: list[Any] = [act() if self.first else None]
        distributed.broadcast_object_list(found)  # The store holds no large values.
        return found[0]

    @contextmanager
    def agreed(self) -> Generator[None]:
        """Run the body in every process; where it fails in one, it fails in all, and one tells."""
        error: BaseException | None = None
        try:
            yield
        except Exception as caught:  # noqa: BLE001  # Raised below, with what the others say.
            error = caught
        said = self._exchanged(_told(error)) if self.count > 1 else []
        if error is not None:
            raise hush(error)
        for number, words in enumerate(said):
            if words is not None:
                raise hush(_heard(number, words))

    def leave_sign(self) -> None:
        """Show the others that this process is ending, and does not hang."""
        self._set(f"sign/{self.number}", True)

    def silent(self) -> set[int]:
        """Return the processes that have not come to their end."""
        return {n for n in range(self.count) if self._get(f"sign/{n}") is None}

    def leave_words(self, error: BaseException, teller: int = 0) -> None:
        """Tell the others why this process ends; where nobody is left, nobody hears it.

        Args:
            error: Why.
            teller: The process that tells the user, where the first one cannot.
        """
        if self.count > 1:
            self._set(f"words/{self.number}", (_told(error) or {}) | {"teller": teller})

    def words(self, seconds: float = 0.0) -> Exception | None:
        """Return what another process has ended with, waiting for it a while; None if it is mute.

        One that was stopped from outside has no reason of its own to tell.
        """
        until = time.monotonic() + seconds
        while True:
            for number in range(self.count):
                if number != self.number and (found := self._get(f"words/{number}")):
                    return _heard(number, found) if found["kind"] != "KeyboardInterrupt" else None
            if time.monotonic() >= until:
                return None
            time.sleep(_PAUSE)

    def first_has_ended(self) -> bool:
        """Tell whether the first process has left its words, and tells them itself."""
        return self._get("words/0") is not None

    def _exchanged(self, value: Any) -> list[Any]:
        """Return what every process gives, by its number."""
        self._turn += 1
        turn = f"{self._ours}/{self._turn}"
        keys = [f"{turn}/{number}" for number in range(self.count)]
        self._store.set(keys[self.number], json.dumps(value))
        while self._orphaned or not self._store.check(keys):
            time.sleep(_PAUSE)  # An orphan is about to be stopped.
        return [json.loads(self._store.get(key)) for key in keys]

    def _set(self, key: str, value: Any) -> None:
        with suppress(Exception):
            if not self._orphaned:
                self._store.set(f"{self._ours}/{key}", json.dumps(value))

    def _get(self, key: str) -> Any:
        key = f"{self._ours}/{key}"
        with suppress(Exception):
            if not self._orphaned and self._store.check([key]):
                return json.loads(self._store.get(key))
        return None

    @property
    def _orphaned(self) -> bool:
        """Whether the launcher is gone, and its store with it."""
        return os.getppid() != self._launcher


def _join(attempt: str) -> None:
    """Join the other processes of this run, or tell that what a launcher says leads to none."""
    try:
        with _waiting_is_told():
            if attempt not in ("", "0"):
                _join_anew(attempt)
            PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"))
    except Exception as error:
        rank, world = place()
        raise ConfigError(
            f"this is process {rank} of {world} by the variables RANK={rank} and "
            f"WORLD_SIZE={world}, and it does not find the others: {reason_of(error)}: start all "
            "of them with torchrun, or remove both variables for a run of one process"
        ) from error


@contextmanager
def _waiting_is_told() -> Generator[None]:
    """Say what the body waits for where it takes long: torch waits half an hour without a word."""
    told = threading.Timer(_PATIENCE, _tell_of_waiting)
    told.daemon = True
    told.start()
    try:
        yield
    finally:
        told.cancel()


def _tell_of_waiting() -> None:
    rank, world = place()
    host, port = (os.environ.get(name, "?") for name in ("MASTER_ADDR", "MASTER_PORT"))
    real = sys.__stderr__ or sys.stderr  # The first one speaks for all, and may not be there.
    real.write(
        f"process {rank} of {world} (RANK={rank}, WORLD_SIZE={world}) waits for the others at "
        f"{host}:{port}; if none were started, stop it and remove both variables\n"
    )
    real.flush()


def _join_anew(attempt: str) -> None:
    """Join the other processes of a run that its launcher has started again.

    torch 2.13 takes the launcher's store to be a new one for each attempt. Where it is kept, who is
    first to look finds the addresses of the dead, and waits or fails. So an attempt has its keys.
    """
    rank, world = place()
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    kind: Any = getattr(distributed, "TCPStore")  # noqa: B009  # Public, but in no stub.
    store = kind(host, port, world, is_master=False)
    distributed.init_process_group(
        "nccl" if torch.cuda.is_available() else "gloo",
        store=PrefixStore(f"{_OURS}/attempt/{attempt}", store),
        rank=rank,
        world_size=world,
    )


def _told(error: BaseException | None) -> dict[str, str] | None:
    if error is None:
        return None
    known = isinstance(error, HoldfastError)
    kind = type(error).__name__
    return {"kind": kind, "text": str(error) if known else f"{kind}: {error}"}


def _heard(number: int, words: dict[str, Any]) -> Exception:
    """Return another process's error as one of this process."""
    kind: Any = getattr(errors, words["kind"], RunError)
    error = kind(f"process {number}: {words['text']}")
    setattr(error, TELLER, words.get("teller", 0))
    return error
