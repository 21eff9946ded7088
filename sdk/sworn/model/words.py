"""Big-endian 32-bit words: what a program is written in. `docs/encoding.md` is the norm."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from sworn.errors import ModelMalformed, ModelUnsupported

WORD_BYTES = 4
_BITS = 32
_TOP = 1 << _BITS
_HALF = _TOP >> 1


def float_word(value: float) -> int:
    """IEEE bits of a float32 value; −0 is written as +0. Raises `ModelUnsupported` for any other value and NaN."""
    try:
        bits = int.from_bytes(struct.pack(">f", value + 0.0))
    except OverflowError as error:
        raise ModelUnsupported(f"the parameter {value!r} is not a float32 value") from error
    if float_of(bits) != value:
        raise ModelUnsupported(f"the parameter {value!r} is not a float32 value")
    return bits


def float_of(bits: int) -> float:
    """The value of float32 bits."""
    value: float = struct.unpack(">f", bits.to_bytes(WORD_BYTES))[0]
    return value


class WordWriter:
    """Collects words. Every method raises `ModelUnsupported` for a number that does not fit."""

    def __init__(self) -> None:
        self._words: list[int] = []

    def unsigned(self, *values: int) -> None:
        """Numbers from 0 below 2^32, one word each."""
        for value in values:
            if not 0 <= value < _TOP:
                raise ModelUnsupported(f"{value} does not fit an unsigned 32-bit word")
            self._words.append(value)

    def signed(self, *values: int) -> None:
        """Numbers from −2^31 below 2^31 in two's complement, one word each."""
        for value in values:
            if not -_HALF <= value < _HALF:
                raise ModelUnsupported(f"{value} does not fit a signed 32-bit word")
            self._words.append(value % _TOP)

    def long(self, value: int) -> None:
        """A number from 0 below 2^64, in two words, the upper one first."""
        self.unsigned(value >> _BITS, value % _TOP)

    def sized(self, values: Iterable[int]) -> None:
        """Unsigned numbers after their count."""
        listed = tuple(values)
        self.unsigned(len(listed), *listed)

    def to_bytes(self) -> bytes:
        """All words written so far."""
        return struct.pack(f">{len(self._words)}I", *self._words)


class WordReader:
    """Reads words back. Every method raises `ModelMalformed` where the bytes end early."""

    def __init__(self, data: bytes) -> None:
        if len(data) % WORD_BYTES:
            raise ModelMalformed(f"{len(data)} bytes are no whole number of words")
        self._words = struct.unpack(f">{len(data) // WORD_BYTES}I", data)
        self._position = 0

    def unsigned(self) -> int:
        """One word as a number from 0."""
        if self._position == len(self._words):
            raise ModelMalformed("the bytes end inside a program")
        self._position += 1
        word: int = self._words[self._position - 1]
        return word

    def signed(self) -> int:
        """One word in two's complement."""
        value = self.unsigned()
        return value - _TOP if value >= _HALF else value

    def long(self) -> int:
        """Two words as one number."""
        return self.unsigned() << _BITS | self.unsigned()

    def flag(self) -> bool:
        """One word that is 0 or 1."""
        value = self.unsigned()
        if value > 1:
            raise ModelMalformed(f"{value} is no truth value")
        return value == 1

    def several(self, count: int) -> tuple[int, ...]:
        """``count`` unsigned words."""
        self.check_left(count)
        return tuple(self.unsigned() for _ in range(count))

    def several_signed(self, count: int) -> tuple[int, ...]:
        """``count`` signed words."""
        self.check_left(count)
        return tuple(self.signed() for _ in range(count))

    def sized(self) -> tuple[int, ...]:
        """Unsigned words after their count."""
        return self.several(self.unsigned())

    def take(self, count: int) -> bytes:
        """``count`` words as bytes."""
        return struct.pack(f">{count}I", *self.several(count))

    def count(self) -> int:
        """A number of parts that follow, each of at least one word: nothing larger than what is there is made."""
        count = self.unsigned()
        self.check_left(count)
        return count

    def check_left(self, count: int) -> None:
        """Raises unless ``count`` words are left."""
        if count > len(self._words) - self._position:
            raise ModelMalformed("the bytes end inside a program")

    def finish(self) -> None:
        """Raises unless every word has been read."""
        if self._position != len(self._words):
            raise ModelMalformed(f"{len(self._words) - self._position} words follow the end of a program")
