"""Which of accelerate's distributions leave a whole model in each process: the one list of them."""

__all__ = ["BY_ACCELERATE", "WHOLE"]

WHOLE = ("MULTI_GPU", "MULTI_CPU")
"""The first process writes the whole model, and the others hold the same."""
BY_ACCELERATE = ("NO", "MULTI_GPU")
"""Those of them, and one process, that ``accelerate launch`` starts without mpirun."""
