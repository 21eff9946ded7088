"""Gas of the moves of a dispute: whole transactions, before the real referee, in a steady state.

As in `tests.support.gas` everything is done once before it is measured, but for what is called first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Final

from tests.support.chain import Chain, TransactionReceipt
from tests.support.court import Court, ShownTrace, Target, try_offchain_result, try_result
from tests.support.gas import GasCost, cost_of
from tests.support.long_contractions import convolution
from tests.support.node import Node
from tests.support.referee_chain import referee_chain
from tests.support.scene import Scene
from tests.support.shown_model import ShownModel
from tests.support.step_lies import dearest_lie
from tests.support.system import ETHER
from tests.support.trial import Trial, bring, open_courtroom

import sworn
from sworn.codec.trees import CHUNK_BYTES
from sworn.testing import gallery
from sworn.types import Part, Profile, Tensors
from sworn.verification import CompiledModel

#: Models of which a proof is measured.
_PROVEN: Final = ("logistic", "mlp", "forest")
#: A convolution of 4,608 terms.
_LONG: Final = "convolution"
#: Those of which a whole dispute is: all transactions from the challenge to the claim.
_WHOLE: Final = ("mlp", "boosting", _LONG)
#: A run of 40 values, of which the third has 40 full chunks.
_VALUES: Final = 40
_TRACE: Final = ShownTrace(
    [bytes([1 + number]) * (40 * CHUNK_BYTES if number == 2 else 128) for number in range(_VALUES)]
)
#: The tree over the values from its root on, that over the chunks, and sixteen chunks.
_VALUES_TARGET: Final[Target] = (Part.VALUES, 0, 6, 0)
_NODES_TARGET: Final[Target] = (Part.NODES, 2, 6, 0)
_CHUNKS_TARGET: Final[Target] = (Part.CHUNKS, 2, 0, 1)


def measure_dispute_gas(node: Node) -> Mapping[str, GasCost]:
    """Plays every move of a dispute on a fresh chain."""
    moves = _Moves(open_courtroom(Chain(node)))
    first = {"challenge_first": cost_of(moves.challenge())}
    found = first | {name: _second(move) for name, move in moves.by_name().items()}
    trials = {name: moves.trial(name).play() for name in dict.fromkeys((*_PROVEN, *_WHOLE))}
    found |= {f"prove_fault_{name}": cost_of(trials[name]["prove_fault"]) for name in _PROVEN}
    found |= {f"whole_dispute_{name}": _sum(trials[name].values()) for name in _WHOLE}
    found["claim"] = cost_of(trials["mlp"]["claim"])
    # Last: whoever has nothing left pays more for the next credit.
    moves.withdraw()
    moves.trial("logistic").play()
    return found | {"withdraw_reward": cost_of(moves.withdraw())}


def _second(move: Callable[[], TransactionReceipt]) -> GasCost:
    move()
    return cost_of(move())


def _sum(receipts: Iterable[TransactionReceipt]) -> GasCost:
    costs = [asdict(cost_of(receipt)) for receipt in receipts]
    return GasCost(**{part: sum(cost[part] for cost in costs) for part in costs[0]})


class _Moves:
    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._challenger, self._friend = scene.cast.challenger, scene.cast.requester
        # More than all convictions take.
        registry, operator = scene.system.operator_registry, scene.cast.operator
        registry.send("addStake", operator, by=scene.cast.stranger, value_wei=100 * ETHER)

    def by_name(self) -> Mapping[str, Callable[[], TransactionReceipt]]:
        return {
            "challenge": self.challenge,
            "challenge_bounded": self._challenge_bounded,
            "challenge_offchain": lambda: try_offchain_result(self._scene).open(by=self._challenger),
            "challenge_join": lambda: self._opened().join(by=self._friend),
            "commit_trace": lambda: self._opened().commit_trace(_TRACE),
            "commit_trace_40_roots": lambda: self._opened().commit_trace(_TRACE, inline=True),
            "demand": lambda: self._committed().demand(_NODES_TARGET, by=self._challenger),
            "disclose_values": lambda: self._disclose(_VALUES_TARGET),
            "disclose_nodes": lambda: self._disclose(_NODES_TARGET),
            "disclose_16_chunks": lambda: self._disclose(_CHUNKS_TARGET),
            "disclose_16_weight_chunks": lambda: self._disclose_model(_LONG, (Part.WEIGHT_CHUNKS, 0, 0, 1)),
            "disclose_step": lambda: self._disclose_model("transformer", (Part.STEPS, 0, 0, 50)),
            "disclose_interface": lambda: self._disclose_model("transformer", (Part.INTERFACE, 0, 0, 0)),
            "commit_fault": lambda: self._committed().commit_fault(by=self._challenger),
            "convict_silence": self._convict_silence,
            "resolve_upheld": self._resolve,
        }

    def challenge(self) -> TransactionReceipt:
        return try_result(self._scene).open(by=self._challenger)

    def _challenge_bounded(self) -> TransactionReceipt:
        court = try_result(self._scene, profile=Profile.BOUNDED, trace_root=_TRACE.root)
        return court.open(by=self._challenger)

    def _opened(self) -> Court:
        court = try_result(self._scene)
        court.open(by=self._challenger)
        return court

    def _committed(self) -> Court:
        court = self._opened()
        court.commit_trace(_TRACE)
        return court

    def _disclose(self, target: Target) -> TransactionReceipt:
        court = self._committed()
        court.demand(target, by=self._challenger)
        return court.disclose(target, _TRACE.show(target), to=self._challenger)

    def _disclose_model(self, name: str, target: Target) -> TransactionReceipt:
        model, _ = _load(name)
        self._scene.system.model_registry.send("register", model.model, by=self._scene.cast.stranger)
        court = try_result(self._scene, model_id=model.model_id)
        court.open(by=self._challenger)
        court.commit_trace(_TRACE)
        court.demand(target, by=self._challenger)
        return court.disclose(target, ShownModel(model).show(target), to=self._challenger)

    def trial(self, name: str) -> Trial:
        """The operator lies about the model's element that is the dearest to judge."""
        model, inputs = _load(name)
        lie = dearest_lie(model, model.trace(inputs), referee_chain())
        return bring(self._scene, model, inputs, lie.trace, value=lie.value, index=lie.index)

    def _convict_silence(self) -> TransactionReceipt:
        court = self._opened()
        self._scene.chain.travel(to=court.state["opened_at"] + court.parameter("traceSeconds") + 1)
        return court.convict_silence()

    def _resolve(self) -> TransactionReceipt:
        court = self._committed()
        self._scene.chain.travel(to=court.ends_at + 1)
        return court.resolve()

    def withdraw(self) -> TransactionReceipt:
        return self._scene.system.dispute_game.send("withdraw", by=self._challenger)


def _load(name: str) -> tuple[CompiledModel, Tensors]:
    """A model of the gallery, or the long convolution, with an input."""
    artifact, inputs = convolution() if name == _LONG else (gallery.load(name), gallery.rows(name)[0].inputs)
    return sworn.compile_model(artifact), inputs
