"""What another evaluation program measured, beside our own figures and never mixed with them."""

from pydantic import Field

from holdfast.results.records import Number, Record

__all__ = ["BenchmarkScore", "Benchmarks"]


class BenchmarkScore(Record):
    """One figure of one task, as the program gives it."""

    task: str
    version: str = Field(default="", description="The task's own version.")
    metric: str = Field(description="The program's name of it, with its filter if it has one.")
    value: Number = None
    stderr: Number = Field(default=None, description="Standard error, where the program has one.")
    n: int | None = Field(default=None, description="Questions that were asked.")
    shots: int | None = Field(default=None, description="Examples in front of each question.")
    higher_is_better: bool | None = None


class Benchmarks(Record):
    """The figures of one call of the program."""

    tool: str = Field(description="The program with its version.")
    limit: int | None = Field(default=None, description="Most questions of each task; null: all.")
    chat_template: bool = Field(default=False, description="Asked through the chat template.")
    scores: list[BenchmarkScore] = Field(default_factory=list[BenchmarkScore])
