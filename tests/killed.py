"""A process that kills itself at the n-th change of the file system that it makes."""

import os
import signal
from collections.abc import Callable
from typing import Any

CHANGES = ("rename", "replace", "unlink", "remove", "rmdir", "mkdir", "open")


def killed_at(number: int, act: Callable[[], Any]) -> bool:
    """Run ``act`` in a fork that gets SIGKILL right before its change ``number``, from 0.

    Returns:
        Whether it was killed; False where it made fewer changes and came to its end.
    """
    child = os.fork()
    if not child:
        arm(number)
        try:
            act()
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        assert os.WEXITSTATUS(status) == 0, "the child failed"
    return os.WIFSIGNALED(status)


def arm(number: int) -> None:
    """Let this process kill itself right before its change ``number`` from now, from 0."""
    left = [number]

    def counted(plain: Callable[..., Any]) -> Callable[..., Any]:
        def change(*args: Any, **how: Any) -> Any:
            reads = plain.__name__ == "open" and not (len(args) > 1 and args[1] & os.O_CREAT)
            if not reads:
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)
                left[0] -= 1
            return plain(*args, **how)

        return change

    for name in CHANGES:
        setattr(os, name, counted(getattr(os, name)))
