"""Every way a command can be ended from outside has its words and its exit code."""

import errno
import io
import os
import signal
import sys

import pytest
import torch
from safetensors import SafetensorError

from holdfast.cli import main
from holdfast.cli.shell import signals
from holdfast.training.failures import leaving

MEMORY = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("std::bad_alloc"),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
]
DISK = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    RuntimeError("[enforce fail at inline_container.cc:858] . failed writing file data/0"),
    SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
]  # fmt: skip


@pytest.fixture
def ending(monkeypatch):
    """Let ``holdfast list`` do something, outside a run or inside one that keeps a checkpoint."""

    def install(act, kept=None):
        def do(*_):
            if kept is None:
                act()
            with leaving(lambda: kept):
                act()

        monkeypatch.setattr("holdfast.defenses.registry", do)

    return install


def failing(error):
    def fail():
        raise error

    return fail


@pytest.mark.parametrize("kept", [None, "checkpoint-4 is kept"])
@pytest.mark.parametrize(
    ("error", "said"),
    [(e, "memory is full") for e in MEMORY] + [(e, "the disk is full") for e in DISK],
    ids=lambda given: type(given).__name__,
)
def test_a_full_machine_is_told_alike(capsys, ending, error, said, kept):
    """Fault E13: a failed allocation and torch's full disk were a fault of holdfast."""
    ending(failing(error), kept)
    assert main(["list"]) == 1
    _, err = capsys.readouterr()
    assert err.startswith(f"error: {said}: ")
    assert (kept or "") in err
    assert err.count("\n") == 1


def test_a_name_too_long_is_bad_input(capsys, ending):
    """Fault E13: a name that is too long ended as a failed run."""
    ending(failing(OSError(errno.ENAMETOOLONG, "File name too long", "a" * 300)))
    assert main(["list"]) == 2
    assert "give a shorter name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "code", "name"),
    [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM"),
     (signal.SIGHUP, 129, "SIGHUP")],
)  # fmt: skip
def test_a_signal_leaves_what_is_kept(capsys, ending, number, code, name):
    """Fault E13: SIGTERM ended a run without a word of what is kept."""
    usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    others = signal.signal(number, usual)  # Ray, once it ran in this process, has one of its own.
    ending(lambda: os.kill(os.getpid(), number), "checkpoint-4 is kept")
    try:
        assert main(["list"]) == code
        assert capsys.readouterr().err == f"interrupted: stopped by {name}: checkpoint-4 is kept\n"
        assert signal.getsignal(number) == usual
    finally:
        signal.signal(number, others)


def test_a_second_ctrl_c_waits_for_what_is_kept(capsys, monkeypatch):
    """Fault E13: a second Ctrl-C while a checkpoint was being kept said that nothing was."""

    def kept():
        os.kill(os.getpid(), signal.SIGINT)
        return "checkpoint-4 is kept"

    def do(*_):
        with leaving(kept):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("holdfast.defenses.registry", do)
    assert main(["list"]) == 130
    assert capsys.readouterr().err == "interrupted: stopped by Ctrl-C: checkpoint-4 is kept\n"


def test_the_third_ends_it_at_once(monkeypatch):
    """Fault E13: a second Ctrl-C while a checkpoint was being kept said that nothing was."""
    left = []
    monkeypatch.setattr(signals.os, "_exit", left.append)
    with signals.stoppable():
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        assert left == []
        os.kill(os.getpid(), signal.SIGINT)
        assert left == [130]


def test_what_nohup_ignores_stays_ignored(capsys, ending):
    """Fault E13: SIGTERM ended a run without a word of what is kept."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        ending(lambda: os.kill(os.getpid(), signal.SIGHUP), "nothing is kept")
        main(["list"])
        assert "interrupted" not in capsys.readouterr().err
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("arguments", [["list"], ["list", "--json"], ["list", "panacea"]])
def test_a_closed_pipe_is_silent(arguments, monkeypatch, capsys):
    """Fault E13: a closed pipe was an error of its own, or a fault of holdfast."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        assert main(arguments) == 141
        assert capsys.readouterr().err == ""


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
@pytest.mark.parametrize(("arguments", "code"), [(["list", "panacea"], 0), (["list", "nope"], 2)])
def test_a_closed_stream_is_none_to_write_to(arguments, code, closed, monkeypatch):
    """Fault E13: a stream closed by the shell (`>&-`) was a fault of holdfast."""
    monkeypatch.setattr(sys, closed, None)
    assert main(arguments) == code


def test_ascii_is_enough(monkeypatch):
    """Fault E13: a terminal of ASCII made every table a fault of holdfast."""
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii"))
    assert main(["list", "constrained_sft"]) == 0
    assert b"constrained_sft" in shown.getvalue()
