"""Hidden states seen and moved from outside: context managers that leave no hook behind."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn


def _hidden(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def _with_hidden(
    output: Tensor | tuple[Tensor, ...], hidden: Tensor
) -> Tensor | tuple[Tensor, ...]:
    return (hidden, *output[1:]) if isinstance(output, tuple) else hidden


@contextmanager
def captured(modules: Mapping[str, nn.Module]) -> Generator[dict[str, Tensor]]:
    """Collect each module's last output, shape (batch, tokens, hidden), while the body runs."""
    seen: dict[str, Tensor] = {}

    def keeper(name: str):  # noqa: ANN202
        def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            seen[name] = _hidden(output)

        return keep

    handles = [m.register_forward_hook(keeper(n)) for n, m in modules.items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def shifted_activations(
    modules: Mapping[str, nn.Module], by: Mapping[str, Tensor]
) -> Generator[None]:
    r"""Run the body with :math:`h \leftarrow h + v` at each module's output.

    Args:
        modules: Modules whose output is (batch, tokens, hidden), or a tuple that starts with it.
        by: One shift per name, broadcastable to the output.
    """

    def mover(name: str):  # noqa: ANN202
        def move(_module: nn.Module, _inputs: object, output: Tensor) -> object:
            hidden = _hidden(output)
            return _with_hidden(output, hidden + by[name].to(hidden))

        return move

    # Looked up first: an unknown name must not leave hooks of the others behind.
    moved = {n: modules[n] for n in by}
    handles = [m.register_forward_hook(mover(n)) for n, m in moved.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
