"""Bytes are counted one by one: temporaries, and what kernels take for themselves."""

import pytest
import torch

from measurements.live_bytes import live_bytes

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="counts the GPU where there is one"
)
N = 1000


def kept_and_more(numbers):
    kept = numbers * 2
    return kept + kept * 2


def freed_in_between(numbers):
    for _ in range(3):
        (numbers * 2).sum()


def two_at_a_time(numbers):
    numbers.double().square()


def inside_a_kernel(numbers):
    torch.linalg.vector_norm(numbers, dtype=torch.float64)


@pytest.mark.parametrize(
    ("body", "peak"),
    [(kept_and_more, 12), (freed_in_between, 4), (two_at_a_time, 16), (inside_a_kernel, 8)],
)
def test_peak_in_bytes_of_each_number(body, peak):
    numbers = torch.ones(N, N)
    with live_bytes() as found:
        body(numbers)
    # A sum or a norm is a number of its own beside the million.
    assert found.peak // (N * N) == peak
    assert found.peak % (N * N) <= 64
