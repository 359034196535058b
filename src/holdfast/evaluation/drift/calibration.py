"""A base's own file: its openings, and what their lead says of its harmful score."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from holdfast.errors import DataError, NewerFileError
from holdfast.evaluation.drift.fit import Fit
from holdfast.evaluation.drift.openings import Openings
from holdfast.files.base_mark import BaseMark
from holdfast.files.guarded.documents import json_in
from holdfast.files.whole import refuse_newer, write_whole

__all__ = ["Calibration"]

SCHEMA = 1


@dataclass(frozen=True)
class Calibration:
    """What was learned of one base on many runs; for another base it means nothing."""

    base: BaseMark
    openings: Openings
    fit: Fit

    def save(self, path: Path) -> None:
        """Write it as one JSON file."""
        told = {
            "schema": SCHEMA, "base": asdict(self.base), "openings": self.openings.as_json(),
            "fit": self.fit.as_json(),
        }  # fmt: skip
        write_whole(path, json.dumps(told, indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Calibration":
        """Read a file that ``save`` wrote.

        Raises:
            DataError: There is none, it is of a newer version, or its parts do not belong together.
        """
        try:
            said: Any = json_in(path)
            refuse_newer(path, said["schema"], SCHEMA)
            base = BaseMark(**said["base"])
            found = cls(base, Openings.of_json(said["openings"]), Fit.of_json(said["fit"]))
        except NewerFileError:
            raise
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}: is no file of a base's openings and fit ({error}); `python -m "
                "measurements.drift` writes one"
            ) from error
        if found.fit.openings != found.openings.sha256:
            raise DataError(f"{path}: its fit is of other openings than those in the file")
        return found

    def refuse_other(self, base: BaseMark, path: Path) -> None:
        """Raise ``DataError`` unless the model at hand is the base that it was made on."""
        if differs := self.base.difference(base):
            raise DataError(
                f"{path}: was made on another model than {base.name} ({differs}): leads and scores "
                "go together on one base only; leave the file out to watch without a prediction"
            )
