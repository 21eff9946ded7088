"""Faults as a dispute takes them: what is committed to, and the proof that is shown later."""

from __future__ import annotations

from sworn.dispute.search import FaultFound
from sworn.referee.proof import FaultProof
from sworn.referee.proof_encoding import decode_proof, encode_proof
from sworn.verification import Fault

#: What an audit or a search finds, the proof of it, or its bytes.
FaultLike = Fault | FaultFound | FaultProof | bytes


def proven(fault: FaultLike) -> FaultFound:
    """A fault with its proof built and encoded. Raises `ProofMalformed` for bytes that are no proof."""
    if isinstance(fault, FaultFound):
        return fault
    if isinstance(fault, bytes):
        proof = decode_proof(fault)
    else:
        proof = fault if isinstance(fault, FaultProof) else fault.proof()
    return FaultFound(kind=proof.kind, value=proof.value, index=proof.index, proof=encode_proof(proof))
