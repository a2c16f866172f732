"""What is asked of somebody who did not sign in before a report of theirs is stored.

A city says `policy.anonymous: open` (nothing) or `proof_of_work` (core.proof_of_work). People who
signed in, staff and API keys are never asked. Each proof is good for one report: that it was used
is a mark in Redis, kept for as long as its challenge could be; when Redis is away a proof may be
used twice, which the tally counts.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core import proof_of_work
from core.errors import InvalidError
from core.limits import network_digest
from core.proof_of_work import ALGORITHM, LIFETIME, Challenge, Fault, Solved
from core.tally import Tally
from geo.jurisdictions import JurisdictionRef

#: A used proof is remembered a little longer than its challenge holds.
_REMEMBERED_S = int(LIFETIME.total_seconds()) + 60


class ProofNeededError(InvalidError):
    """A proof of work is needed; a fresh challenge comes with the refusal."""

    code = "proof_needed"
    title = "This city asks for a proof of work from people who do not sign in"


@dataclass(frozen=True, slots=True)
class Proof:
    """What a client sends: a challenge and the nonce that solves it."""

    challenge: str
    nonce: str

    @classmethod
    def from_header(cls, text: str) -> Proof:
        """The proof in a header `challenge:nonce`."""
        challenge, _, nonce = text.partition(":")
        return cls(challenge.strip(), nonce.strip())


@dataclass(frozen=True, slots=True)
class Gate:
    """Holds up a sender whom nobody knows, where the city wants that.

    Attributes:
        address: where the request came from; empty where that is not known.
    """

    tally: Tally
    secret: str
    address: str
    proof: Proof | None

    def admit(self, place: JurisdictionRef, report: str, *, now: datetime) -> None:
        """Let the report pass, or say what is missing.

        Args:
            report: names what is being sent, so that a retry of it may use its proof again.

        Raises:
            ProofNeededError
        """
        if place.policy.get("anonymous") != "proof_of_work":
            return
        fault = self._fault(report, now)
        if fault is not None:
            raise ProofNeededError(
                _SAID[fault],
                field="proof",
                reason=fault.value,
                challenge=document(self.challenge(now)),
            )

    def challenge(self, now: datetime) -> Challenge:
        """A challenge, the harder the more of them went there lately."""
        network = network_digest(self.secret, self.address) or ""
        recent = self.tally.count(f"challenges:{network}", keep_s=int(LIFETIME.total_seconds()))
        return proof_of_work.issue(
            self.secret, now=now, difficulty=proof_of_work.difficulty_after(recent)
        )

    def _fault(self, report: str, now: datetime) -> Fault | None:
        if self.proof is None:
            return Fault.MISSING
        checked = proof_of_work.check(self.secret, self.proof.challenge, self.proof.nonce, now=now)
        if not isinstance(checked, Solved):
            return checked
        # What is sent names a person, perhaps; its digest does not.
        value = hashlib.sha256(report.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        is_ours = self.tally.mark(f"proof:{checked.id}", value, keep_s=_REMEMBERED_S)
        return None if is_ours else Fault.USED


def document(challenge: Challenge) -> dict[str, Any]:
    """A challenge as a client gets it."""
    return {
        "challenge": challenge.text,
        "difficulty": challenge.difficulty,
        "algorithm": ALGORITHM,
        "expires_at": challenge.expires_at.isoformat().replace("+00:00", "Z"),
    }


_SAID = {
    Fault.MISSING: "Solve the challenge and send it again with `proof`.",
    Fault.FORGED: "This challenge is not one that we gave out; here is another.",
    Fault.EXPIRED: "This challenge has expired; here is another.",
    Fault.WRONG: "This nonce does not solve the challenge; here is another.",
    Fault.USED: "This proof was used for another report; here is another challenge.",
}
