"""Bytes, arrays and records: the canonical encoding and its commitments, equal in Python and Solidity."""

from __future__ import annotations
