from __future__ import annotations

from tests.support.accounts import Account
from tests.support.court import ShownTrace, Target, try_result
from tests.support.scene import Scene

from sworn.types import Part

TRACE = ShownTrace([b"\x01" * 128, b"\x02" * 64])
CHUNKS: Target = (Part.CHUNKS, 0, 0, 0)
#: Requests that are open besides; half of them are answered, a quarter disputed.
OTHERS = 40


def journey(scene: Scene, challenger: Account) -> dict[str, int]:
    """Gas of every move of a dispute and of what leads to it."""
    court = try_result(scene)
    moves = {"challenge": court.open(by=challenger), "commitTrace": court.commit_trace(TRACE)}
    moves["demand"] = court.demand(CHUNKS, by=challenger)
    moves["disclose"] = court.disclose(CHUNKS, TRACE.show(CHUNKS), to=challenger)
    moves["commitFault"] = court.commit_fault(by=challenger)
    court.ripen()
    moves["proveFault"] = court.prove(by=challenger, trace_root=TRACE.root)
    court.settle()
    moves["claim"] = court.claim(challenger)
    honest = scene.ask()
    moves["propose"] = scene.propose(honest)
    scene.close_window(honest)
    moves["finalize"] = scene.finalize(honest)
    return {name: receipt.gas_used for name, receipt in moves.items()}


def test_moves_cost_the_same_however_much_is_open(scene: Scene, challenger: Account) -> None:
    """No move walks over requests, results or disputes: with forty more of them open none gets dearer."""
    journey(scene, challenger)
    before = journey(scene, challenger)
    for number in range(OTHERS):
        if number % 4 == 0:
            court = try_result(scene, value_at_risk_wei=0)
            court.open(by=challenger)
            court.commit_trace(TRACE)
            court.demand(CHUNKS, by=challenger)
        elif number % 2 == 0:
            scene.propose(scene.ask(value_at_risk_wei=0))
        else:
            scene.ask()

    after = journey(scene, challenger)

    assert {name: abs(after[name] - gas) < 200 for name, gas in before.items()} == dict.fromkeys(before, True)
