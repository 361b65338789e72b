"""What is known of each family of networks: its numbers, its key names, its layers row by row, its memory.

A new family is a file of its own and a line in FAMILIES. Nothing outside this package asks which family a network is
of. Loads no torch until it is handed a network or its tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import TYPE_CHECKING

from ..errors import WeightsError
from .differences import difference, shapes_of, some_of
from .family import Family, NetworkSpec, Unsupported
from .others import other_network
from .rrdbnet import RRDBNET
from .srvgg import SRVGGNET_COMPACT

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

FAMILIES: tuple[Family, ...] = (RRDBNET, SRVGGNET_COMPACT)


class UnknownNetwork(WeightsError):
    """A weights file is of no network of this project. Another project's code may know it."""


def family_names(word: str) -> str:
    """The names of all families for a message: "RRDBNet or SRVGGNetCompact"."""
    return f" {word} ".join(family.name for family in FAMILIES)


def family_of(network: nn.Module) -> Family | None:
    """The family whose own class `network` is an instance of.

    None for other packages' classes of the same keys, and for subclasses: what their layers do is not known.
    """
    return next((family for family in FAMILIES if type(network) is family.network_class()), None)


def build(name: str, arguments: Mapping[str, object]) -> nn.Module:
    """Build a network of the family of this name, with the initial values that training starts from.

    Raises:
        KeyError: there is no such family.
    """
    family = {family.name: family for family in FAMILIES}[name]
    network: nn.Module = family.network_class()(**arguments)
    family.initialise(network)
    return network


def name_of(spec: NetworkSpec) -> str:
    """The name of the family whose numbers these are."""
    from ..archs.meta_network import meta_network

    family = family_of(meta_network(spec.build))
    assert family is not None  # a spec builds its family's own class
    return family.name


def cast_convolutions(network: nn.Module, dtype: torch.dtype, *, rounds_results: bool = True) -> nn.Module:
    """Cast `network` in place to mixed precision: all but its family's full-precision layers to `dtype`.

    `rounds_results` says whether convolutions round their results to `dtype`, too, as torch's do.
    A network of no family is not known to sum its residuals in the type of its input, and is left as it is.
    """
    from ..archs.precision import cast_except

    family = family_of(network)
    return (
        network
        if family is None
        else cast_except(network, family.full_precision_layers(network, rounds_results), dtype)
    )


def rename_old_keys(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give tensors under older releases' key names today's names; other networks' pass unchanged."""
    for family in FAMILIES:
        state = family.rename_old_keys(state)
    return dict(state)


def ncnn_names(layer_count: int, kinds: Set[str]) -> list[str] | None:
    """PyTorch's names of the layers with weights in an ncnn file, in their order.

    Args:
        layer_count: how many layers have weights.
        kinds: ncnn's names of all layers' kinds.
    """
    found = (family.ncnn_names(layer_count, kinds) for family in FAMILIES)
    return next((found for found in found if found is not None), None)


def recognise(state: Mapping[str, Tensor], source: str) -> tuple[NetworkSpec, nn.Module]:
    """Tell a network and its numbers from the names and shapes of its tensors; `source` names the file in errors.

    The second result is the network, on the meta device: without values yet.

    Raises:
        UnknownNetwork: no network of this project has these tensors; says where they differ from the nearest.
        WeightsError: they are of a network that is not for pictures, or damaged.
    """
    shapes = shapes_of(state)
    if other := other_network(shapes):
        raise WeightsError(f"{source}: this is {other}; wanted is {family_names('or')}")
    if empty := [key for key, shape in shapes.items() if 0 in shape]:
        raise WeightsError(f"{source}: damaged, {some_of(empty, shapes)} has no values")
    from ..archs.meta_network import meta_network

    unknown = f"neither {family_names('nor')}"
    reason = f"{unknown} (its {len(shapes)} tensors begin with {some_of(shapes, shapes)})"
    for family in FAMILIES:
        try:
            spec = family.spec_of(shapes)
        except Unsupported as error:
            reason = str(error)
            continue
        if spec is None:
            continue
        network = meta_network(spec.build)
        wanted = shapes_of(network.state_dict())
        if wanted == shapes:
            return spec, network
        reason = f"{unknown}; nearest is {spec}, but {difference(shapes, wanted)}"
    raise UnknownNetwork(f"{source}: {reason}")
