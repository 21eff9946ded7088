from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import onnx
from tests.support.programs import convolution, matmul, program, row_major, step, tensor, value, weight, weights_of

from sworn.model.canonical import Graph, GraphModel
from sworn.model.program import Contract, Copy, Function, Piece, Pointwise, Program, Reduction

DIGEST = """
import hashlib
from tests.unit.test_canonical_graphs import network_model
print(hashlib.sha256(network_model().artifact).hexdigest())
"""
#: What an input that is stored channels last costs.
TO_CHANNELS_FIRST = ("Reshape", "Transpose", "Reshape")


def network() -> Program:
    """Convolution, bias by a step of its own, copy to rows, product: with constants inside and beside the graph."""
    base = convolution(6, 3, 8, lower=0.0)
    full = row_major((36, 8))
    added = step(Pointwise(function=Function.ADD, operands=(value(1, full), weight(2, (0, 1)))), (36, 8))
    piece = Piece(source=value(2, (1, 8)), starts=(0, 0), stops=(8, 36), every=(1, 1))
    copied = step(Copy(pieces=(piece,)), (8, 36))
    product = Contract(
        left=value(3, (0,)),
        right=weight(3, (288,)),
        reductions=(Reduction(extent=288, left_stride=1, right_stride=1),),
    )
    weights = (*base.weights, tensor((8,)), tensor((5, 288)))
    return program(base.inputs, (*base.steps, added, copied, step(product, (5,))), weights)


def network_model() -> GraphModel:
    """The graph that gives the last value."""
    made = network()
    graph = Graph(made, weights_of(made, np.random.default_rng(1)), range(4), fused={})
    assert not graph.refused
    return graph.model([4])


def test_graph_of_a_program_is_the_same_bytes_every_time() -> None:
    """Within a process, and in one that hashes strings differently."""
    digest = hashlib.sha256(network_model().artifact).hexdigest()
    assert hashlib.sha256(network_model().artifact).hexdigest() == digest
    for seed in ("1", "2"):
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)}
        found = subprocess.run([sys.executable, "-c", DIGEST], env=environment, capture_output=True, check=True)
        assert found.stdout.decode().strip() == digest


def test_copy_into_another_order_is_no_node() -> None:
    """The product's weights are reordered instead, once."""
    nodes = [node.op_type for node in onnx.load_from_string(network_model().artifact).graph.node]
    assert nodes == [*TO_CHANNELS_FIRST, "FusedConv", "Add", "Reshape", "MatMul"]


def test_large_constants_stand_beside_the_graph() -> None:
    """So that sessions share them, and no limit of the file format is met."""
    model = network_model()
    assert sorted(array.size for array in model.constants.values()) == [5 * 288]
    assert len(model.artifact) < 4000


def test_what_no_output_needs_is_left_out() -> None:
    """A graph may give any of its values."""
    made = network()
    graph = Graph(made, weights_of(made, np.random.default_rng(1)), range(4), fused={})
    nodes = [node.op_type for node in onnx.load_from_string(graph.model([1]).artifact).graph.node]
    assert nodes == [*TO_CHANNELS_FIRST, "FusedConv"]


def test_step_that_no_node_gives_is_refused() -> None:
    """It is named, for somebody else to compute."""
    made = matmul(3, 4, 5, divisor=7)
    assert Graph(made, weights_of(made, np.random.default_rng(1)), [0], fused={}).refused == {0}
