"""An output folder that appears whole or not at all.

A run writes into ``.NAME.partial`` beside the output, under a lock that no other run of holdfast
gets, and a swap puts it in place at the end; see ``holdfast.files.outputs.swap``.
"""

from collections.abc import Collection, Generator, Iterable
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path

from holdfast.errors import ConfigError, RunError
from holdfast.files.guarded.paths import home
from holdfast.files.nesting import refuse_inside, refuse_nested
from holdfast.files.outputs.locks import locked, refuse_in_use
from holdfast.files.outputs.places import check_folder, real
from holdfast.files.outputs.processes import refuse_several
from holdfast.files.outputs.swap import (
    Move,
    Swap,
    begin_partial,
    check_beside,
    discard_partial,
)
from holdfast.files.private import close_folder

__all__ = ["Inputs", "ModelFolders", "WholeFolder"]

Inputs = Collection[Path | str | None]


class WholeFolder:
    """One output folder and the partial folder that becomes it."""

    def __init__(
        self,
        target: Path,
        *,
        overwrite: bool = False,
        field: str = "output",
        drop: tuple[str, ...] = (),
        owner: Path | None = None,
    ) -> None:
        self.target = real(target)
        self.owner = owner or self.target
        self.overwrite = overwrite
        self.field = field
        self.swap = Swap(self.target)
        self._drop = drop
        self._inputs: Inputs = ()
        self._is_held = False

    @property
    def move(self) -> Move:
        """How the partial folder comes into place."""
        return Move(self.target, self.overwrite, self._drop)

    @property
    def partial(self) -> Path:
        """Where a run writes."""
        return self.move.partial

    @property
    def _shown(self) -> str:
        return f"`{self.field}={self.target}`"

    def check(self, inputs: Inputs = ()) -> None:
        """Raise ``ConfigError`` unless the folder may be written.

        Writes nothing, but for the end of a swap that a kill broke off.

        Args:
            inputs: Files and folders that the run reads, which ``overwrite`` must not reach.
        """
        self.settle()
        check_beside(self.target, self.field, self.owner)
        # An empty folder holds nothing to lose, so it counts as absent.
        present = self.target.is_dir() and any(self.target.iterdir())
        if present and not self.overwrite:
            raise ConfigError(
                f"{self._shown}: the folder exists: add `overwrite=True` to replace it, or choose "
                "another"
            )
        given = [Path(i) for i in inputs if i]
        self._check_inputs([Path.cwd(), *home(), *given])
        refuse_inside(self.target, given, self._shown)
        self._inputs = inputs

    def check_place(self) -> None:
        """Raise ``ConfigError`` where no folder can come to, or another run is writing."""
        refuse_several()
        check_folder(self.target, self.field)
        if not self._is_held:
            refuse_in_use(self._lock, self._shown)

    def settle(self) -> None:
        """Refuse a place where no run may write now, and end a swap that a kill broke off.

        Raises:
            ConfigError: See ``check_place``, or something else has come to the place of what the
                swap puts there.
        """
        self.check_place()
        if self.swap.pending:
            try:
                with self.alone():
                    self.swap.settle(overwrite=self.overwrite)
            except RunError as error:
                raise ConfigError(f"{self._shown}: {error}") from error

    def _check_inputs(self, inputs: Iterable[Path]) -> None:
        target = self.target.resolve()
        for path in inputs:
            given = path.resolve()
            if given.exists() and (given == target or target in given.parents):
                lost = f"holds {path}, which would be lost: choose another folder"
                raise ConfigError(f"{self._shown}: {lost}")

    @contextmanager
    def held(self) -> Generator[None]:
        """Keep other runs out while the body works; what ``check`` saw is looked at again.

        Raises:
            ConfigError: Another run works in the folder, or has written it since it was checked.
        """
        with self.alone():
            self.check(self._inputs)
            yield

    @contextmanager
    def alone(self) -> Generator[None]:
        """Keep other runs out while the body works; nothing is looked at again."""
        if self._is_held:
            yield
            return
        with locked(self._lock, self._shown):
            self._is_held = True
            try:
                yield
            finally:
                self._is_held = False

    @property
    def _lock(self) -> Path:
        return self.target.parent / f".{self.target.name}.lock"

    def begin(self) -> None:
        """Make the partial folder, empty."""
        begin_partial(self.partial, self.owner)
        if self.field == "artifacts":
            close_folder(self.partial)

    def discard(self) -> None:
        """Remove the partial folder, if it is ours."""
        discard_partial(self.partial)

    @contextmanager
    def writing(self) -> Generator[Path]:
        """Give the body an empty partial folder; keep it if the body succeeds, else remove it."""
        with self.held(), _filled(self) as (partial,):
            yield partial


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
        self.output = WholeFolder(output, overwrite=overwrite, drop=("checkpoints", "run.json"))
        beside = self.output.target.parent / f"{self.output.target.name}-artifacts"
        self.artifacts = WholeFolder(
            artifacts or beside,
            overwrite=overwrite,
            field="artifacts",
            drop=("state",),
            owner=self.output.target,
        )
        self.export = WholeFolder(export, overwrite=overwrite, field="export") if export else None
        """A copy of the artifacts that others may read, where the user asks for one."""
        self._inputs: Inputs = ()

    def check(self, inputs: Inputs = ()) -> None:
        """Raise ``ConfigError`` unless all may be written and lie apart; see ``WholeFolder``."""
        folders = [f for f in (self.output, self.artifacts, self.export) if f is not None]
        for folder in folders:
            folder.check(inputs)
        for folder, other in ((b, a) for a, b in combinations(folders, 2)):
            refuse_nested(
                folder.target,
                other.target,
                f"`{folder.field}={folder.target}`",
                "and what defenses keep apart may undo the model's safety",
            )
        self._inputs = inputs

    @contextmanager
    def held(self) -> Generator[None]:
        """Keep other runs out of both while the body works; see ``WholeFolder.held``."""
        with self.output.alone(), self.artifacts.alone():
            self.check(self._inputs)
            yield

    @contextmanager
    def writing(self) -> Generator[tuple[Path, Path]]:
        """Give the body both partial folders, empty; both come into place, or neither does."""
        with self.held(), _filled(self.output, self.artifacts) as (output, artifacts):
            yield output, artifacts


@contextmanager
def _filled(*folders: WholeFolder) -> Generator[list[Path]]:
    """Give the body empty partial folders and swap them in, the first one's swap for all."""
    try:
        for folder in folders:
            folder.begin()
        yield [folder.partial for folder in folders]
        folders[0].swap.begin([folder.move for folder in reversed(folders)])
    except BaseException:
        for folder in folders:
            if not folders[0].swap.pending:
                folder.discard()
        raise
    folders[0].swap.settle()
