"""The options that measurements of cost share, and how their JSON is written."""

import argparse
import json
from pathlib import Path
from typing import Any

from holdfast.results.provenance import this_machine, versions

__all__ = ["model_name", "options", "write"]


def options(about: str | None, *, steps: str, threads: int) -> argparse.ArgumentParser:
    """Return a parser of what is measured, how long and with what.

    Args:
        about: The measurement's own help.
        steps: What ``--steps`` counts there.
        threads: Threads of torch unless others are asked for.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--model", type=Path, help="folder of a model; the 25 M Llama without it")
    parser.add_argument("--name", help="what the result calls the model")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each variant")
    parser.add_argument("--minutes", type=float, default=1e9, help="no further round begins later")
    parser.add_argument("--steps", type=int, default=5, help=steps)
    parser.add_argument("--tokens", type=int, default=64, help="tokens of a row")
    parser.add_argument("--rows", type=int, default=32, help="rows of each party")
    parser.add_argument("--threads", type=int, default=threads)
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    return parser


def model_name(given: argparse.Namespace) -> str:
    """Return what a result calls the model."""
    return str(given.name or given.model or "llama of 25 M")


def write(result: dict[str, Any], out: Path | None) -> None:
    """Print the result with the machine and the versions, and write it where that is asked for."""
    named = {"machine": this_machine().model_dump(), "versions": versions()}
    text = json.dumps(result | named, indent=1)
    print(text, flush=True)
    if out:
        out.write_text(text + "\n")
