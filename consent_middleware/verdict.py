"""What follows from a Cookie header. No struct: it is compiled with what reads it, where each question is one step."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from consent_middleware.decision import Decision


class Verdict:
    """What follows from one Cookie header under one regime and one set of signals. Nobody changes one."""

    __slots__ = (
        *("allowed", "basis", "cookie", "decision", "ending", "ends", "generation", "lapsed", "record_id", "strips"),
        "visitor_id",
    )

    def __init__(
        self,
        decision: Decision,
        allowed: frozenset[str],
        cookie: bytes | None,
        strips: bool,
        lapsed: tuple[bytes, ...],
        visitor_id: str | None,
        basis: str | None,
        ending: bytes,
        ends: float,
        generation: int,
        record_id: str | None,
    ) -> None:
        self.decision = decision
        self.allowed = allowed
        self.cookie = cookie  # what is left of the header
        self.strips = strips  # whether that is less than all
        self.lapsed = lapsed  # declared cookies whose consent is missing
        self.visitor_id = visitor_id  # only while its purpose is granted
        self.basis = basis  # why a row of this visitor may exist
        self.ending = ending  # of such a row; empty when its key changes each day
        self.ends = ends  # unix time until which all this holds
        self.generation = generation  # of the keys that verified it
        self.record_id = record_id
