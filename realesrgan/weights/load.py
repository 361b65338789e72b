"""From weight files to a network that is ready to compute."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path

from torch import Tensor, nn

from ..archs.meta_network import meta_network
from ..errors import UsageError, WeightsError
from ..families import UnknownNetwork, recognise, rename_old_keys
from ..families.differences import difference, shapes_of
from ..families.family import NetworkSpec
from ..model_zoo import MODELS, Model
from .download import Report
from .foreign import load_foreign
from .read import StateDict, blend, read_weights
from .store import local_file, obtain


def load_network(
    paths: Sequence[Path], shares: Sequence[float] | None = None, model: nn.Module | None = None
) -> tuple[nn.Module, NetworkSpec | None]:
    """Read one weights file, or blend two by `shares`, into the network they belong to or into `model`.

    What is of no network of this project is left to spandrel, if that is installed.

    The second result is None if the weights went into a `model` of no known family.

    Raises:
        WeightsError: a file cannot be read, or fits no network, or does not fit `model`.
    """
    own_keys = None if model is None else model.state_dict().keys()
    state = read_state(paths, shares, own_keys)
    source = paths[0].name
    if model is None:
        try:
            spec, network = recognise(state, source)
        except UnknownNetwork as refusal:
            return load_foreign(state, source, refusal)
        return _filled(network, state), spec
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        differing = difference(shapes_of(state), shapes_of(model.state_dict())) or error
        raise WeightsError(f"{source} does not fit the given {type(model).__name__}: {differing}") from error
    return model.requires_grad_(False).eval(), _spec_if_known(state, source)


def chosen_weights(
    model: Model | None, model_path: str | Path | None, denoise_strength: float, report: Report | None = None
) -> tuple[list[Path], list[float] | None]:
    """The files to load, and their shares if two are to be blended: `model_path` if given, else the model's own.

    Missing published files are fetched; `report` is called meanwhile.

    Raises:
        UsageError: there is neither a model nor a path.
        WeightsError: files cannot be found or fetched.
    """
    if model_path is not None:
        return [local_file(model_path)], None
    if model is None:
        raise UsageError("give a `model_name`, or weights as `model_path`")
    paths = [found.path for found in obtain(model.files_for(denoise_strength), report)]
    return paths, [denoise_strength, 1 - denoise_strength] if len(paths) > 1 else None


def refuse_other_network(model: Model | None, spec: NetworkSpec | None, source: str | Path) -> None:
    """Refuse weights, called `source`, of another network than `model` is.

    Raises:
        WeightsError: they are; says which models they would fit.
    """
    if model is not None and spec != model.network:
        fitting = [other.name for other in MODELS.values() if other.network == spec]
        advice = f"it fits `model_name` {' or '.join(fitting)}" if fitting else "give `model_path` without `model_name`"
        raise WeightsError(f"{source} holds {spec}, but {model.name} is {model.network}: {advice}")


def read_state(
    paths: Sequence[Path], shares: Sequence[float] | None = None, own_keys: Set[str] | None = None
) -> StateDict:
    """Read one weights file, or blend two by `shares`, into tensors under today's key names.

    Keys that are `own_keys`, those of a network the caller brought along, are left as they are. Called again, it gives
    a network that was cast to half precision its exact weights back.

    Raises:
        WeightsError: a file cannot be read, or the two are of different networks.
        UsageError: the numbers of files and shares do not match.
    """
    states = [read_weights(path, own_keys) for path in paths]
    states = [state if state.keys() == own_keys else rename_old_keys(state) for state in states]
    if len(states) == 1 and shares is None:
        return states[0]
    if len(states) != 2 or shares is None or len(shares) != 2 or abs(sum(shares) - 1) > 1e-6:
        raise UsageError(
            "blending takes two weights files as `model_path` and, as `dni_weight`, two shares that add up to 1, "
            f"not {', '.join(map(str, paths))} and {shares}"
        )
    return blend(states[0], states[1], shares[0])


def _spec_if_known(state: StateDict, source: str) -> NetworkSpec | None:
    try:
        return recognise(state, source)[0]
    except WeightsError:
        return None


def _filled(network: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    network.load_state_dict({key: tensor.float() for key, tensor in state.items()}, strict=True, assign=True)
    return network.requires_grad_(False).eval()


def load_as(build: Callable[[], nn.Module], path: Path, what: str) -> nn.Module:
    """Read a weights file that has to hold the network which `build` makes and users know as `what`.

    Raises:
        WeightsError: the file cannot be read, or holds something else.
    """
    state = read_weights(path)
    network = meta_network(build)
    if differing := difference(shapes_of(state), shapes_of(network.state_dict())):
        raise WeightsError(f"{path}: does not hold {what}: {differing}")
    return _filled(network, state)
