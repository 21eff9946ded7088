"""All lowerings by operator and version. A family of operators is one module; here they are named."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType, ModuleType

from sworn.model.compiler import (
    activations,
    arithmetic,
    contractions,
    convolution_transposed,
    features_ml,
    indexing,
    linear_ml,
    normalisation,
    padding,
    pooling,
    powers,
    quantised,
    quantised_microsoft,
    recurrent,
    reductions,
    shapes,
    trees,
)
from sworn.model.compiler.operators import Lowering

_FAMILIES = (
    activations,
    arithmetic,
    contractions,
    convolution_transposed,
    features_ml,
    indexing,
    linear_ml,
    normalisation,
    padding,
    pooling,
    powers,
    quantised,
    quantised_microsoft,
    recurrent,
    reductions,
    shapes,
    trees,
)


def _collected(modules: tuple[ModuleType, ...]) -> Mapping[tuple[str, str, int], Lowering]:
    lowerings = [item for module in modules for item in vars(module).values() if isinstance(item, Lowering)]
    return MappingProxyType({key: lowering for lowering in lowerings for key in lowering.serves})


#: (domain, operator, version) → lowering; the domain of ai.onnx is "".
LOWERINGS = _collected(_FAMILIES)
