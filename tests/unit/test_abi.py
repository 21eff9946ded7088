"""The ABI layer: calls, events, custom errors."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from sworn import abi
from sworn.errors import CodecError, ConfigurationError, ContractRevert

OPERATOR = "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"
WORD = bytes(range(32))


def _revert(signature: str, types: list[str], values: list[object]) -> bytes:
    return keccak(text=signature)[:4] + encode(types, values)


def test_interface_encode_struct_argument_matches_the_signature() -> None:
    """A struct argument is part of the selector as a tuple and is encoded inline."""
    data = abi.interface("IOperatorRegistry").encode("setOffer", WORD, (True, 1, 2, 3, 4))
    assert data[:4] == keccak(text="setOffer(bytes32,(bool,uint88,uint88,uint32,uint32))")[:4]
    assert data[4:] == encode(["bytes32", "(bool,uint88,uint88,uint32,uint32)"], [WORD, (True, 1, 2, 3, 4)])


def test_interface_decode_returns_one_value_or_a_tuple() -> None:
    """Single return values come bare, several come as a tuple."""
    registry = abi.interface("IOperatorRegistry")
    assert registry.decode("freeStakeOf", encode(["uint256"], [7])) == 7
    account = encode(["bool", "uint256", "uint256", "uint256"], [True, 3, 2, 1])
    assert registry.decode("accountOf", account) == (True, 3, 2, 1)


def test_interface_decode_call_inverts_encode() -> None:
    """Calldata is read back into name and arguments."""
    registry = abi.interface("IOperatorRegistry")
    assert registry.decode_call(registry.encode("addStake", OPERATOR)) == ("addStake", (OPERATOR,))


def test_interface_decode_log_names_indexed_and_plain_arguments() -> None:
    """Indexed and plain arguments come together by name, addresses checksummed."""
    registry = abi.interface("IOperatorRegistry")
    topics = [registry.topic("OfferChanged"), bytes(12) + bytes.fromhex(OPERATOR[2:]), WORD]
    event = registry.decode_log(topics, encode(["(bool,uint88,uint88,uint32,uint32)"], [(True, 1, 2, 3, 4)]))
    assert event.name == "OfferChanged"
    assert dict(event.arguments) == {"operator": OPERATOR, "modelId": WORD, "offer": (True, 1, 2, 3, 4)}


def test_interface_decode_log_with_text_that_is_none_is_read_all_the_same() -> None:
    """Contracts check no text: one byte of a stranger's would hide whatever is read together with it."""
    registry = abi.interface("IModelRegistry")
    topics = [registry.topic("ArtifactPublished"), WORD, bytes(12) + bytes.fromhex(OPERATOR[2:])]
    event = registry.decode_log(topics, encode(["bytes"], [b"ipfs://\xff\xc3("]))
    assert event.arguments["uri"] == "ipfs://\\xff\\xc3("


def test_interface_decode_log_foreign_event_raises_codec_error() -> None:
    """An event of another contract is an error, not a guess."""
    with pytest.raises(CodecError):
        abi.interface("IOperatorRegistry").decode_log([WORD], b"")


@pytest.mark.parametrize("args", [(), (OPERATOR, 1), ("nobody",), (5,)])
def test_interface_encode_wrong_arguments_raises_codec_error(args: tuple[object, ...]) -> None:
    """Too few, too many and ill-typed arguments are typed errors."""
    with pytest.raises(CodecError):
        abi.interface("IOperatorRegistry").encode("addStake", *args)


def test_interface_decode_short_data_raises_codec_error() -> None:
    """A call to an address without code returns nothing, which is no value."""
    with pytest.raises(CodecError):
        abi.interface("IOperatorRegistry").decode("freeStakeOf", b"")


def test_interface_unknown_names_raise_configuration_error() -> None:
    """Unknown contracts, functions and bytecode are reported as what they are."""
    with pytest.raises(ConfigurationError):
        abi.interface("Nothing")
    with pytest.raises(ConfigurationError):
        abi.interface("IOperatorRegistry").encode("nothing")
    with pytest.raises(ConfigurationError):
        abi.interface("IOperatorRegistry").constructor()


def test_interface_constructor_appends_the_arguments() -> None:
    """Creation code ends with the encoded constructor arguments."""
    referee = abi.interface("Referee")
    assert referee.constructor(*[OPERATOR] * 5) == referee.bytecode + encode(["address"] * 5, [OPERATOR] * 5)


def test_reverts_hold_every_error_of_every_abi() -> None:
    """Each custom error has a class of its own name, with the selector of its signature."""
    declared = {name for contract in abi.names() for name in abi.interface(contract).errors}
    assert set(abi.REVERTS) == declared
    assert abi.REVERTS["CreditMissing"].selector == keccak(text="CreditMissing(address)")[:4]
    assert all(issubclass(kind, ContractRevert) and kind.name == name for name, kind in abi.REVERTS.items())


def test_contract_error_custom_error_carries_its_arguments() -> None:
    """A custom error becomes its class, with the arguments as attributes and in the message."""
    types, values = ["address", "uint256", "uint256"], [OPERATOR, 1, 2]
    error = abi.contract_error(_revert("FreeStakeTooLow(address,uint256,uint256)", types, values))
    assert type(error) is abi.REVERTS["FreeStakeTooLow"]
    assert error.arguments == {"operator": OPERATOR, "freeWei": 1, "requiredWei": 2}
    assert getattr(error, "requiredWei") == 2  # noqa: B009 (the attribute exists at run time only)
    assert str(error) == f"FreeStakeTooLow(operator={OPERATOR}, freeWei=1, requiredWei=2)"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "reverted without a reason"),
        (_revert("Error(string)", ["string"], ["no"]), "reverted: no"),
        (_revert("Panic(uint256)", ["uint256"], [0x11]), "panic 0x11: arithmetic overflow or underflow"),
        (_revert("Panic(uint256)", ["uint256"], [0x99]), "panic 0x99: unknown panic"),
        (b"\x01\x02\x03\x04", "reverted with an unknown error 0x01020304"),
        (b"\x01", "reverted with an unknown error 0x01"),
        (keccak(text="Error(string)")[:4] + b"\xff", "reverted with malformed data 0x08c379a0ff"),
        (_revert("Error(string)", ["bytes"], [b"\xff"]), "reverted: \\xff"),
        (keccak(text="CreditMissing(address)")[:4], "reverted with malformed data 0x"),
    ],
)
def test_contract_error_anything_else_is_a_bare_revert(data: bytes, message: str) -> None:
    """Reasons, panics, silence and nonsense become a readable bare revert that keeps the data."""
    error = abi.contract_error(data)
    assert type(error) is ContractRevert
    assert error.data == data
    assert str(error).startswith(message)
