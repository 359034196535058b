"""Workers of these tests start at once; the tests of the command line start them as users do."""

import multiprocessing

import pytest

from holdfast.bench.pool import local


@pytest.fixture(autouse=True)
def workers_that_start_at_once(monkeypatch):
    """Fork the pools' workers from a server that has imported torch already (7 s for each one)."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["holdfast.bench.bench"])
    monkeypatch.setattr(local, "_PROCESSES", server)
