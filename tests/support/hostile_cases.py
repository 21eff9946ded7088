"""Files that ask for too much, or for what there is not, one for each way that somebody has thought of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tests.support import graphs

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
F = np.float32
IMAGE: tuple[int, ...] = (1, 4, 6, 6)


def node(
    operator: str,
    constants: Sequence[Any] = (),
    *,
    shape: Sequence[int | str | None] = IMAGE,
    opset: int = 17,
    domain: str = "",
    outputs: int = 1,
    kind: int = FLOAT,
    **attributes: Any,
) -> bytes:
    """A model of one node of x and constants; the outputs' sizes are left open."""
    names = [f"c{place}" for place in range(len(constants))]
    results = [f"y{place}" for place in range(outputs)]
    made = helper.make_node(operator, ["x", *names], results, domain=domain, **attributes)
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in zip(names, constants, strict=True)]
    ends = [(result, kind, [None] * len(shape)) for result in results]
    model = onnx.ModelProto.FromString(graphs.build([made], [("x", FLOAT, shape)], ends, tensors, opset=opset))
    if domain:
        model.opset_import.add(domain=domain, version=3)
    return bytes(model.SerializeToString())


def chain(nodes: Sequence[onnx.NodeProto], constants: Sequence[onnx.TensorProto] = (), **more: Any) -> bytes:
    """Nodes from x: float32[2] to y of one axis."""
    return graphs.build(nodes, [("x", FLOAT, (2,))], [("y", FLOAT, (None,))], constants, **more)


def changed(change: Callable[[onnx.ModelProto], object]) -> bytes:
    """The Relu of x: float32[2], changed."""
    model = onnx.ModelProto.FromString(
        chain([helper.make_node("Add", ["x", "c"], ["y"])], [numpy_helper.from_array(np.ones(2, F), "c")])
    )
    change(model)
    return bytes(model.SerializeToString())


def doubled(count: int, *, of_constants: bool) -> bytes:
    """A tensor joined to itself over and over."""
    start = "c" if of_constants else "x"
    names = [start, *(f"v{place}" for place in range(count))]
    nodes = [helper.make_node("Concat", [a, a], [b], axis=0) for a, b in pairwise(names)]
    nodes.append(helper.make_node("Relu", [names[-1]], ["r"]))
    nodes.append(helper.make_node("ReduceMax", ["r"], ["m"], axes=[0]))
    nodes.append(helper.make_node("Add", ["x", "m"], ["y"]))
    return chain(nodes, [numpy_helper.from_array(np.ones(2, F), "c")])


def filled(size: int, count: int) -> bytes:
    """Many large constants from a small file."""
    nodes = []
    for place in range(count):
        nodes.append(helper.make_node("ConstantOfShape", ["s"], [f"a{place}"]))
        nodes.append(helper.make_node("Add", [f"a{place}", f"k{place}"], [f"b{place}"]))
        nodes.append(helper.make_node("Exp", [f"b{place}"], [f"e{place}"]))
        nodes.append(helper.make_node("ReduceSum", [f"e{place}"], [f"t{place}"]))
    nodes.append(helper.make_node("Sum", ["x", *(f"t{place}" for place in range(count))], ["y"]))
    constants = [numpy_helper.from_array(np.array(F(place)), f"k{place}") for place in range(count)]
    return chain(nodes, [numpy_helper.from_array(np.array([size]), "s"), *constants])


def long_chain(count: int) -> bytes:
    """Nodes one after another."""
    names = ["x", *(f"v{place}" for place in range(count - 1)), "y"]
    return chain([helper.make_node("Neg", [a], [b]) for a, b in pairwise(names)])


def nested_functions(depth: int, width: int) -> bytes:
    """Functions that call the next several times."""
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    functions = []
    for level in range(depth):
        inner = f"F{level + 1}" if level + 1 < depth else "Neg"
        names = ["a", *(f"v{place}" for place in range(width - 1)), "b"]
        domain = "own" if level + 1 < depth else ""
        body = [helper.make_node(inner, [p], [q], domain=domain) for p, q in pairwise(names)]
        functions.append(helper.make_function("own", f"F{level}", ["a"], ["b"], body, imports))
    model = onnx.ModelProto.FromString(chain([helper.make_node("F0", ["x"], ["y"], domain="own")]))
    model.opset_import.add(domain="own", version=1)
    model.functions.extend(functions)
    return bytes(model.SerializeToString())


def nested_subgraphs(depth: int) -> bytes:
    """If within If."""
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["z"])], "g", [], [graph_output("z")])
    for _ in range(depth):
        inner = helper.make_node("If", ["c"], ["z"], then_branch=graph, else_branch=graph)
        graph = helper.make_graph([inner], "g", [], [graph_output("z")])
    outer = helper.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=graph)
    return chain([outer], [numpy_helper.from_array(np.array(True), "c")])


def graph_output(name: str) -> onnx.ValueInfoProto:
    """A vector."""
    return helper.make_tensor_value_info(name, FLOAT, [None])


def recurrent(steps: int, hidden: int, **attributes: Any) -> bytes:
    """An LSTM over many places."""
    given = [np.zeros((1, 4, 2), F), np.zeros((1, 4, 1), F)]
    return node("LSTM", given, shape=(steps, 1, 2), hidden_size=hidden, **attributes)


def broken_tensor(**fields: Any) -> bytes:
    """A constant whose fields contradict each other."""

    def change(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        for name, value in fields.items():
            if isinstance(value, list):
                del getattr(tensor, name)[:]
                getattr(tensor, name).extend(value)
            else:
                setattr(tensor, name, value)

    return changed(change)


def external() -> bytes:
    """A constant that lies in a file of the machine."""

    def change(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="/etc/passwd")

    return changed(change)


def trees(count: int) -> bytes:
    """A tree that is one long path of nodes, each its own child in the end."""
    return node(
        "TreeEnsembleRegressor",
        shape=(1, 4),
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_treeids=[0] * count,
        nodes_nodeids=list(range(count)),
        nodes_featureids=[0] * count,
        nodes_modes=["BRANCH_LEQ"] * count,
        nodes_values=[0.0] * count,
        nodes_truenodeids=[*range(1, count), 0],
        nodes_falsenodeids=[0] * count,
        target_treeids=[0],
        target_nodeids=[0],
        target_ids=[0],
        target_weights=[1.0],
    )


_NEG = helper.make_node("Neg", ["x"], ["y"])
_KERNEL = np.ones((2, 4, 3, 3), F)
_HUGE = 1 << 40

CASES: Mapping[str, Callable[[], bytes]] = MappingProxyType(
    {
        "cycle": lambda: chain([helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Neg", ["a"], ["b"])]),
        "node that reads itself": lambda: chain([helper.make_node("Add", ["x", "y"], ["y"])]),
        "undefined input": lambda: chain([helper.make_node("Add", ["x", "nothing"], ["y"])]),
        "undefined output": lambda: chain([helper.make_node("Neg", ["x"], ["z"])]),
        "value written twice": lambda: chain([_NEG, _NEG]),
        "input written": lambda: chain([helper.make_node("Neg", ["x"], ["x"]), _NEG]),
        "constants of one name": lambda: changed(lambda m: m.graph.initializer.append(m.graph.initializer[0])),
        "inputs of one name": lambda: changed(lambda m: m.graph.input.append(m.graph.input[0])),
        "dynamic shape": lambda: node("Relu", shape=("n", 3)),
        "negative shape": lambda: node("Relu", shape=(-3, 3)),
        "huge shape": lambda: node("Relu", shape=(1 << 20, 1 << 20)),
        "rank 40": lambda: node("Relu", shape=(1,) * 40),
        "convolution pads": lambda: node("Conv", [_KERNEL], pads=[_HUGE] * 4),
        "convolution strides": lambda: node("Conv", [_KERNEL], strides=[_HUGE, -1]),
        "convolution dilations": lambda: node("Conv", [_KERNEL], dilations=[1 << 62, 1 << 62], pads=[1 << 62] * 4),
        "convolution of no groups": lambda: node("Conv", [_KERNEL], group=0),
        "convolution of a long row": lambda: node("Conv", [np.ones((1, 1, 3), F)], shape=(1, 1, 1 << 26), pads=[1, 1]),
        "transposed strides": lambda: node("ConvTranspose", [np.ones((4, 2, 2, 2), F)], strides=[1 << 20, 1 << 20]),
        "transposed output": lambda: node("ConvTranspose", [np.ones((4, 2, 2, 2), F)], output_shape=[_HUGE, _HUGE]),
        "pool of a long row": lambda: node("AveragePool", shape=(1, 1, 1 << 26), kernel_shape=[3], pads=[1, 1]),
        "pool of a long padded row": lambda: node("MaxPool", shape=(1, 1, 1 << 24), kernel_shape=[9], pads=[4, 4]),
        "pool kernel": lambda: node("MaxPool", kernel_shape=[1 << 31, 1 << 31], pads=[1 << 31] * 4),
        "pool kernel of one axis": lambda: node("MaxPool", kernel_shape=[2]),
        "axis out of range": lambda: node("Softmax", axis=1 << 40),
        "axes out of range": lambda: node("ReduceSum", [np.array([7, -9])]),
        "axis twice": lambda: node("ReduceSum", [np.array([1, 1])]),
        "permutation": lambda: node("Transpose", perm=[0, 1, 2, -1]),
        "pads": lambda: node("Pad", [np.full(8, _HUGE)]),
        "pads that reflect": lambda: node("Pad", [np.full(8, _HUGE)], mode="reflect"),
        "pads that repeat": lambda: node("Pad", [np.full(8, 1 << 22)], mode="edge"),
        "negative pads": lambda: node("Pad", [np.full(8, -(1 << 62))]),
        "repeats": lambda: node("Tile", [np.full(4, 10**9)]),
        "negative repeats": lambda: node("Tile", [np.full(4, -(10**9))]),
        "expansion": lambda: node("Expand", [np.array([1 << 62, 1 << 62, 1, 1])]),
        "reshape": lambda: node("Reshape", [np.array([-1, -1, 0, 9])]),
        "reshape that overflows": lambda: node("Reshape", [np.array([1 << 32, 1 << 32, 1 << 32])]),
        "slice": lambda: node(
            "Slice", [np.array([-(2**63)]), np.array([2**63 - 1]), np.array([1]), np.array([-(2**63)])]
        ),
        "range": lambda: chain(
            [helper.make_node("Range", ["a", "b", "c"], ["r"]), helper.make_node("Add", ["x", "r"], ["y"])],
            [numpy_helper.from_array(np.array(n, F), name) for n, name in ((0, "a"), (3e38, "b"), (1e-38, "c"))],
        ),
        "split": lambda: node("Split", [np.array([-4, 8])], axis=1, outputs=2),
        "ranks": lambda: node("TopK", [np.array([1 << 62])], outputs=2),
        "block of space": lambda: node("SpaceToDepth", blocksize=1 << 62),
        "window of channels": lambda: node("LRN", size=_HUGE),
        "factors": lambda: node("ReduceProd", shape=(1 << 20,)),
        "sums": lambda: node("CumSum", [np.array(0)], shape=(1 << 24,)),
        "indices": lambda: node("Gather", [np.array([1 << 62, -(2**63)])]),
        "groups of channels": lambda: node("GroupNormalization", [np.ones(4, F)] * 2, opset=21, num_groups=0),
        "targets": lambda: trees(1),
        "tree that is a circle": lambda: trees(5000),
        "recurrence of many places": lambda: recurrent(1_000_000, 1),
        "recurrence of a large state": lambda: recurrent(3, _HUGE),
        "doubled values": lambda: doubled(26, of_constants=False),
        "doubled values beyond": lambda: doubled(60, of_constants=False),
        "doubled constants": lambda: doubled(40, of_constants=True),
        "large constants": lambda: filled(1 << 27, 1),
        "many large constants": lambda: filled(1 << 22, 60),
        "shape that overflows": lambda: filled(1 << 62, 1),
        "many nodes": lambda: long_chain(10_000),
        "functions that multiply": lambda: nested_functions(20, 10),
        "functions in depth": lambda: nested_functions(2000, 1),
        "function that calls itself": lambda: nested_functions(1, 1).replace(b"Neg", b"F0\0"),
        "subgraphs": lambda: nested_subgraphs(1),
        "subgraphs in depth": lambda: nested_subgraphs(12),
        "loop": graphs.endless_loop,
        "external data": external,
        "too few bytes": lambda: broken_tensor(raw_data=b"123"),
        "too many bytes": lambda: broken_tensor(raw_data=b"1234" * 99),
        "dimensions that overflow": lambda: broken_tensor(dims=[1 << 62, 1 << 62]),
        "negative dimensions": lambda: broken_tensor(dims=[-1, -2]),
        "unknown element type": lambda: broken_tensor(data_type=99),
        "bytes and numbers": lambda: broken_tensor(float_data=[1.0, 2.0]),
        "not a number": lambda: broken_tensor(raw_data=b"\xff" * 8),
        "not a model": lambda: b"\x7fELF" + bytes(1000),
        "nothing": lambda: b"",
        "text": lambda: b"{}" * 1000,
        "messages in depth": lambda: b"\x3a\xff\xff\xff\xff\x07" * 5000,
    }
)
