"""Where games are played: the whole system with the real referee on a chain that mines when it is told to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from tests.games.moves import Moment
from tests.games.revm_node import RevmNode
from tests.games.signing import sign
from tests.games.subjects import Subject, make_subjects
from tests.support.accounts import Account, funded_account, funded_accounts
from tests.support.artifacts import decode_revert, interface
from tests.support.chain import Chain, Contract, to_abi
from tests.support.node import CallReverted, Message, RawReceipt
from tests.support.referee_chain import RULES
from tests.support.scene import OFFER, Scene, set_scene
from tests.support.system import ETHER, deploy_system

from sworn.codec.hashing import result_digest
from sworn.types import Address, ModelId, Request, Result

#: What the operator puts up: enough for hundreds of bonds.
STAKE_WEI: Final = 1000 * ETHER
BURN_ADDRESS: Final = Address("0x000000000000000000000000000000000000dEaD")
#: When every game begins, whatever was deployed when.
START: Final = 1_900_000_000
START_NUMBER: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """How a game's chain moves: a block every so many seconds, and a base fee that changes by the hour."""

    block_s: int
    fees_wei: Sequence[int]

    def at(self, time: int) -> Moment:
        """The block at a time; transactions of one second share it."""
        passed_s = time - START
        fee_wei = self.fees_wei[passed_s // 3600 % len(self.fees_wei)]
        return Moment(time=time, number=START_NUMBER + passed_s // self.block_s, base_fee_wei=fee_wei)

    def first_time_of(self, number: int) -> int:
        """The first second in which a block can be."""
        return START + (number - START_NUMBER) * self.block_s


class Arena:
    """The deployed contracts, an operator with its signer, and any number of players."""

    def __init__(self, *, players: int) -> None:
        self.node = RevmNode(priced=interface("DisputeGame").bytecode)
        accounts = funded_accounts()
        chain = Chain(self.node)
        referee = chain.deploy("Referee", *(chain.deploy(rule, by=accounts[0]) for rule in RULES), by=accounts[0])
        self.scene: Scene = set_scene(deploy_system(chain, deployer=accounts[0], referee=referee), accounts)
        self.subjects: tuple[Subject, ...] = make_subjects()
        self.operator: Account = self.scene.cast.operator
        self.stranger: Address = self.scene.cast.stranger.address
        self.victim: Address = self.scene.cast.requester.address
        self.players = tuple(Address(f"0x{number:040x}") for number in range(0xACC0000, 0xACC0000 + players))
        for player in self.players:
            self.node.fund(player)
        self._prepare()

    def _prepare(self) -> None:
        system, stranger = self.scene.system, self.scene.cast.stranger
        system.operator_registry.send("addStake", self.operator, by=stranger, value_wei=STAKE_WEI)
        generous = replace(OFFER, max_value_at_risk_wei=100 * ETHER)
        self._model_ids: dict[str, ModelId] = {}
        self._questions: dict[tuple[Any, ...], bytes] = {}
        self._records: dict[Result | Request, Any] = {}
        for subject in self.subjects:
            model_id = ModelId(system.model_registry.send("register", subject.model, by=stranger).returned)
            system.operator_registry.send("setOffer", model_id, generous, by=self.operator)
            self._model_ids[subject.name] = model_id

    def model_id(self, subject: Subject) -> ModelId:
        """The id under which a subject's model is registered."""
        return self._model_ids[subject.name]

    @property
    def game(self) -> Contract:
        """The court."""
        return self.scene.system.dispute_game

    def move_to(self, moment: Moment) -> None:
        """Lets what follows happen in that block."""
        self.node.move_to(number=moment.number, time=moment.time, base_fee_wei=moment.base_fee_wei)

    def run(self, contract: Contract, function: str, *arguments: Any, by: Address, value_wei: int = 0) -> RawReceipt:
        """Sends a transaction in the present block. Raises `Reverted`."""
        data = contract.encode(function, *arguments)
        try:
            return self.node.execute(Message(sender=by, to=contract.address, data=data, value_wei=value_wei))[1]
        except CallReverted as error:
            raise decode_revert(error.data) from error

    def read(self, contract: Contract, function: str, *arguments: Any) -> Any:
        """What a view returns in the present block."""
        message = Message(sender=self.stranger, to=contract.address, data=contract.encode(function, *arguments))
        return contract.kind.decode(function, self.node.call(message, timestamp=self.node.time))

    def words(self, contract: Contract, function: str, *arguments: Any) -> bytes:
        """What a view returns, undecoded. Views are asked so often that their calldata is kept."""
        key = contract.address, function, arguments
        if key not in self._questions:
            self._questions[key] = contract.encode(function, *arguments)
        message = Message(sender=self.stranger, to=contract.address, data=self._questions[key])
        return self.node.call(message, timestamp=self.node.time)

    def record(self, record: Result | Request) -> Any:
        """A record as calls take it; converted once."""
        if record not in self._records:
            self._records[record] = to_abi(record)
        return self._records[record]

    def forget(self) -> None:
        """Forgets what only the last game needed."""
        self._questions.clear()
        self._records.clear()

    def digest(self, result: Result) -> bytes:
        """The id of a result."""
        return result_digest(result, self.scene.system.domain)

    def sign(self, result: Result) -> bytes:
        """The operator's signature under a result."""
        return sign(self.scene.cast.signers[result.operator].key, self.digest(result))

    def forge(self, result: Result) -> bytes:
        """Somebody else's."""
        return sign(funded_account(6).key, self.digest(result))


__all__ = ["BURN_ADDRESS", "STAKE_WEI", "START", "Arena", "Rhythm", "to_abi"]
