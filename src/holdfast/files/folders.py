"""An output folder that appears whole or not at all.

A run writes into ``.NAME.partial`` beside the output and renames it at the end. With ``overwrite``
the old folder is moved aside only when the new one is complete, and removed after that.
"""

import os
import shutil
from collections.abc import Collection, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

from holdfast.errors import ConfigError
from holdfast.files.nesting import refuse_inside, refuse_nested
from holdfast.files.private import close_folder

__all__ = ["ModelFolders", "WholeFolder"]


class WholeFolder:
    """One output folder and the partial folder that becomes it."""

    def __init__(self, target: Path, *, overwrite: bool = False, field: str = "output") -> None:
        self.target = Path(os.path.abspath(target))  # noqa: PTH100  # ``resolve`` follows links.
        self.overwrite = overwrite
        self.field = field
        self.private = field == "artifacts"
        self.partial = self.target.with_name(f".{self.target.name}.partial")

    def check(self, inputs: Iterable[Path | str | None] = ()) -> None:
        """Raise ``ConfigError`` unless the folder may be written; writes nothing.

        ``inputs`` are files and folders that the run reads, which ``overwrite`` must not reach.
        """
        shown = f"`{self.field}={self.target}`"
        if self.target.is_file():
            raise ConfigError(f"{shown}: is a file: give a folder")
        # An empty folder holds nothing to lose, so it counts as absent.
        present = self.target.is_dir() and any(self.target.iterdir())
        if present and not self.overwrite:
            raise ConfigError(
                f"{shown}: the folder exists: add `overwrite=True` to replace it, or choose another"
            )
        given = [Path(i) for i in inputs if i]
        self._check_inputs([Path.cwd(), Path.home(), *given])
        refuse_inside(self.target, given, shown)
        above = next(folder for folder in self.target.parents if folder.exists())
        if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
            raise ConfigError(f"{shown}: {above} cannot be written: choose another folder")

    def _check_inputs(self, inputs: Iterable[Path]) -> None:
        target = self.target.resolve()
        for path in inputs:
            given = path.resolve()
            if given.exists() and (given == target or target in given.parents):
                lost = f"holds {path}, which would be lost: choose another folder"
                raise ConfigError(f"`{self.field}={self.target}`: {lost}")

    def begin(self) -> None:
        """Make the partial folder, empty."""
        self.discard()
        self.partial.mkdir(parents=True)
        if self.private:
            close_folder(self.partial)

    def discard(self) -> None:
        """Remove the partial folder."""
        shutil.rmtree(self.partial, ignore_errors=True)

    def finish(self) -> None:
        """Put the partial folder in place of the target."""
        old = self.target.with_name(f".{self.target.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        if self.target.exists():
            self.target.rename(old)
        self.partial.rename(self.target)
        shutil.rmtree(old, ignore_errors=True)

    @contextmanager
    def writing(self) -> Generator[Path]:
        """Give the body an empty partial folder; keep it if the body succeeds, else remove it."""
        self.begin()
        try:
            yield self.partial
        except BaseException:
            self.discard()
            raise
        self.finish()


class ModelFolders:
    """A model's folder and, apart from it, the one of what defenses leave behind."""

    def __init__(
        self,
        output: Path,
        artifacts: Path | None = None,
        *,
        export: Path | None = None,
        overwrite: bool = False,
    ) -> None:
        self.output = WholeFolder(output, overwrite=overwrite)
        beside = self.output.target.with_name(f"{self.output.target.name}-artifacts")
        self.artifacts = WholeFolder(artifacts or beside, overwrite=overwrite, field="artifacts")
        self.export = WholeFolder(export, overwrite=overwrite, field="export") if export else None

    def check(self, inputs: Collection[Path | str | None] = ()) -> None:
        """Raise ``ConfigError`` unless all may be written and lie apart; writes nothing."""
        self.output.check(inputs)
        self.artifacts.check(inputs)
        apart = "and what defenses keep apart may undo the model's safety"
        refuse_nested(
            self.artifacts.target,
            self.output.target,
            f"`artifacts={self.artifacts.target}`",
            f"the model's folder, {apart}",
        )
        if self.export is not None:
            self.export.check(inputs)
            for other, what in ((self.output, "the model's"), (self.artifacts, "the artifacts'")):
                shown = f"`export={self.export.target}`"
                refuse_nested(self.export.target, other.target, shown, f"{what} folder, {apart}")
