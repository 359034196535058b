"""What lies in the memory: refusals of harmful requests, and harmless rows beside them."""

from holdfast.defense import Examples, Row, listed
from holdfast.ops.randomness import shuffled


def memory_rows(
    safe: Examples | None, benign: Examples | None, rows: int | None, harmless: float, seed: int
) -> list[Row]:
    """Return the rows of M in a drawn order, the same for the same seed.

    Args:
        safe: Harmful requests with refusals.
        benign: Harmless requests with answers.
        rows: How many of ``safe`` are taken, from the first; None for all.
        harmless: Rows of ``benign`` per row of ``safe``, rounded; as many as there are, at most.
        seed: Decides the order.
    """
    refusals = listed(safe, rows)
    every = [*refusals, *listed(benign, round(harmless * len(refusals)))]
    return shuffled(every, seed)
