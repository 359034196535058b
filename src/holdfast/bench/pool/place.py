"""Where the cells of a bench run, and what each of them takes of that place."""

from dataclasses import dataclass
from math import inf

from holdfast.errors import ConfigError, nearest

__all__ = ["EXECUTORS", "HERE", "Place"]

EXECUTORS = ("local", "ray")
_GRAIN = 4  # Ray counts resources in ten-thousandths.


@dataclass(frozen=True)
class Place:
    """An executor by name, and the share of a node that it sets aside for one cell.

    A cell computes with one thread whatever is set aside: its figures must not depend on it.
    """

    executor: str = "local"
    """``local``: processes of this machine; ``ray``: tasks of a Ray cluster."""
    cpus_per_cell: float = 1.0
    """CPUs set aside for a cell: more than one leaves room, as where a cell takes much memory."""
    gpus_per_cell: float = 0.0
    """Share of one GPU set aside for a cell, in [0, 1]; 0 lets it see none."""

    def check(self, workers: int = 1) -> None:
        """Raise ``ConfigError`` where this is no place, or nobody works in it."""
        if workers < 1:
            raise ConfigError(f"`workers={workers}` is out of range, expected at least 1")
        if self.executor not in EXECUTORS:
            raise ConfigError(
                f"`executor={self.executor}` is unknown, known: {', '.join(EXECUTORS)}."
                f"{nearest(self.executor, EXECUTORS)}"
            )
        if not (0 < self.cpus_per_cell < inf and _in_grains(self.cpus_per_cell)):
            raise ConfigError(
                f"`cpus_per_cell={self.cpus_per_cell:g}` is out of range, expected more than 0, in "
                "steps of 0.0001"
            )
        if not (0 <= self.gpus_per_cell <= 1 and _in_grains(self.gpus_per_cell)):
            raise ConfigError(
                f"`gpus_per_cell={self.gpus_per_cell:g}` is out of range, expected a share of one "
                "GPU from 0 to 1, in steps of 0.0001: a cell uses one GPU at most"
            )
        self._refuse_shares_here()

    def _refuse_shares_here(self) -> None:
        """Refuse what only a cluster sets aside, rather than ignore it."""
        given = {"cpus_per_cell": self.cpus_per_cell, "gpus_per_cell": self.gpus_per_cell}
        usual = {"cpus_per_cell": 1.0, "gpus_per_cell": 0.0}
        for name in given if self.executor == "local" else ():
            if given[name] != usual[name]:
                raise ConfigError(
                    f"`{name}={given[name]:g}` needs `executor=ray`: on this machine each cell has "
                    "one thread, all share its GPU, and `workers` says how many run at a time"
                )


def _in_grains(amount: float) -> bool:
    return round(amount, _GRAIN) == amount


HERE = Place()
