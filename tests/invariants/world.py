"""Where walks take place: the contracts, three operators, five consumers with a will of their own, and two provers."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType

import numpy as np
from tests.support.accounts import Account, funded_accounts
from tests.support.chain import Chain, Contract
from tests.support.scene import make_model
from tests.support.system import ETHER, System, deploy_system

from sworn.codec.structs import request_params_to_abi
from sworn.codec.tensors import encode_payload
from sworn.codec.trees import payload_root
from sworn.types import ZERO_ADDRESS, Address, Assurance, ModelId, Offer, Profile, Request

#: Short enough that a walk sees stake leave.
PARAMETERS: Mapping[str, int] = MappingProxyType(
    {
        "minWindowSeconds": 60,
        "maxWindowSeconds": 600,
        "maxCallbackGas": 2_000_000,
        "maxInputBytes": 65_536,
        "maxOutputBytes": 16_384,
        "minBondWei": ETHER // 100,
        "maxLifetimeSeconds": 7200,
        "tailSeconds": 600,
        "maxDisputeSeconds": 600,
    }
)
STAKE_WEI = ETHER
FORCED_WEI = 7
CALLBACK_GAS = 400_000
PROFILES = (Profile.EXACT, Profile.SIGNED, Profile.BOUNDED)
INPUTS = tuple(encode_payload([np.array([value], dtype=np.float32)]) for value in (1, 2))
OUTPUTS = tuple(encode_payload([np.array([value], dtype=np.float32)]) for value in (10, 20, 30))
OFFER = Offer(
    active=True, price_wei=0, max_value_at_risk_wei=ETHER // 10, max_window_s=600, max_callback_gas=CALLBACK_GAS
)
BURN_ADDRESS = Address("0x000000000000000000000000000000000000dEaD")


class Behaviour(IntEnum):
    """Twin of `Puppet.Behaviour`."""

    ACCEPT = 0
    REVERT = 1
    WASTE_GAS = 2
    RETURN_BOMB = 3
    ACT = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything that walks share. The last operator never swears two different things."""

    system: System
    reader: Contract
    models: tuple[ModelId, ...]
    requester: Account
    operators: tuple[Account, Account, Account]
    #: One for each operator, and a spare key.
    signers: tuple[Account, Account, Account, Account]
    relayers: tuple[Account, Account]
    #: Three that behave as they are told, one that withdraws whenever it is called, one that asks then.
    consumers: tuple[Contract, ...]
    next_question: Request

    @property
    def chain(self) -> Chain:
        """The chain under it."""
        return self.system.chain

    @property
    def profiles(self) -> Mapping[bytes, Profile]:
        """The models' profiles."""
        return dict(zip(self.models, PROFILES, strict=True))

    @property
    def reentrant(self) -> Contract:
        """The consumer that withdraws whenever it is called."""
        return self.consumers[3]

    @property
    def asker(self) -> Contract:
        """The consumer that asks the next question whenever it is called."""
        return self.consumers[4]

    @property
    def payees(self) -> tuple[Address, ...]:
        """Whoever may own credits or rewards."""
        people = tuple(person.address for person in (self.requester, *self.operators, *self.relayers))
        return people + tuple(consumer.address for consumer in self.consumers)

    @property
    def initial_behaviours(self) -> dict[Address, Behaviour]:
        """How the consumers are when a walk begins."""
        orders = (Behaviour.ACCEPT, Behaviour.REVERT, Behaviour.WASTE_GAS, Behaviour.ACT, Behaviour.ACT)
        return {consumer.address: order for consumer, order in zip(self.consumers, orders, strict=True)}


def make_world(chain: Chain) -> World:
    """Deploys everything on a fresh chain."""
    accounts = funded_accounts()
    deployer = accounts[0]
    system = deploy_system(chain, deployer=deployer, parameters=PARAMETERS)
    models = tuple(
        ModelId(system.model_registry.send("register", make_model(profile, tag=profile), by=deployer).returned)
        for profile in PROFILES
    )
    core = (system.oracle, system.operator_registry, system.dispute_game, system.signed_results)
    world = World(
        system=system,
        reader=chain.deploy("ProtocolReader", *core, by=deployer),
        models=models,
        requester=accounts[1],
        operators=(accounts[2], accounts[3], accounts[4]),
        signers=(accounts[8], accounts[9], accounts[7], deployer),
        relayers=(accounts[5], accounts[6]),
        consumers=tuple(chain.deploy("Puppet", by=deployer) for _ in range(5)),
        next_question=_next_question(chain, models[0]),
    )
    with warnings.catch_warnings():
        # py-evm warns of SELFDESTRUCT, which is the only way to force ether into a contract.
        warnings.simplefilter("ignore", DeprecationWarning)
        for contract in (system.oracle, system.operator_registry, system.dispute_game):
            chain.deploy("ForcedEther", contract, by=deployer, value_wei=FORCED_WEI)
    _instruct(world, deployer)
    return world


def _next_question(chain: Chain, model_id: ModelId) -> Request:
    # Who asks is filled in by the contract that does.
    return Request(
        model_id=model_id,
        input_root=payload_root(INPUTS[0]),
        requester=ZERO_ADDRESS,
        operator=ZERO_ADDRESS,
        refund_to=funded_accounts()[1].address,
        fee_wei=0,
        value_at_risk_wei=0,
        callback_gas=0,
        window_s=60,
        deadline=chain.now + 3000,
        assurance=Assurance.FINAL,
        salt=b"\xaa" * 32,
    )


def _instruct(world: World, deployer: Account) -> None:
    oracle = world.system.oracle
    withdrawal = oracle.encode("withdrawFor", world.reentrant)
    world.reentrant.send("actOn", oracle, withdrawal, by=deployer)
    question = oracle.encode("request", request_params_to_abi(world.next_question), INPUTS[0])
    world.asker.send("actOn", oracle, question, by=deployer)
    for consumer, behaviour in zip(world.consumers[:3], world.initial_behaviours.values(), strict=False):
        consumer.send("behave", behaviour, by=deployer)
