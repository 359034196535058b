"""Run every tool on every model type of the zoo and write ``results/architectures.json``.

Usage: ``PYTHONPATH=src:. python measurements/architectures.py`` (a minute), then ``make docs``.
"""

import contextlib
import json
import os
from pathlib import Path

import transformers

from tests.cells import cells_of
from tests.zoo import ZOO

RESULT = Path(__file__).resolve().parent.parent / "results" / "architectures.json"


def main() -> None:
    """Run the cells and write them."""
    found = {}
    for kind in ZOO:
        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
            found[kind] = {tool: cell._asdict() for tool, cell in cells_of(kind).items()}
        print(kind, [tool for tool, cell in found[kind].items() if not cell["works"]], flush=True)
    document = {"transformers": transformers.__version__, "types": found}
    RESULT.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
