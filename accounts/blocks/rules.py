"""What can be blocked, and who is: networks, digests of contacts, people. Asks nobody.

A block keeps somebody from filing reports; it never hides what they filed. Contacts are compared
as keyed digests, so that the list of those who are blocked is nobody's address book.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from accounts.rules import BlockKind
from core.tokens import mac

#: No wider network is blocked: a /16 is 65,536 addresses, a whole provider in a small country; of
#: IPv6 a /32 is what a provider gets.
WIDEST = {4: 16, 6: 32}

#: What a single IPv6 address stands for: one household or phone has all of it, see core.limits.
HOUSEHOLD_BITS = 64

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class NetworkError(ValueError):
    """The text names no network that can be blocked; says why."""


@dataclass(frozen=True, slots=True)
class BlockRow:
    """A block in force. `jurisdiction_id` None: everywhere."""

    id: UUID
    kind: BlockKind
    jurisdiction_id: int | None
    network: Network | None = None
    digest: bytes | None = None
    person_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends a report, as far as it is known. Contacts in their normal form."""

    address: str = ""
    emails: frozenset[str] = frozenset()
    phones: frozenset[str] = frozenset()
    person_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class BlockList:
    """The blocks in force, arranged so that asking costs the same however many there are.

    Each mapping leads to the jurisdictions where it holds; None stands for everywhere.
    """

    networks: dict[tuple[int, int], dict[int, set[int | None]]] = field(default_factory=dict)
    digests: dict[bytes, set[int | None]] = field(default_factory=dict)
    people: dict[UUID, set[int | None]] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Iterable[BlockRow]) -> BlockList:
        """The list that these rows make."""
        made = cls()
        for row in rows:
            where: set[int | None]
            if row.network is not None:
                sizes = made.networks.setdefault((row.network.version, row.network.prefixlen), {})
                where = sizes.setdefault(int(row.network.network_address), set())
            elif row.digest is not None:
                where = made.digests.setdefault(row.digest, set())
            else:
                assert row.person_id is not None
                where = made.people.setdefault(row.person_id, set())
            where.add(row.jurisdiction_id)
        return made

    def holds(self, sender: Sender, jurisdiction_id: int, *, secret: str) -> bool:
        """Whether that sender may not file in that jurisdiction."""
        here = {jurisdiction_id, None}
        if self.networks and (address := address_of(sender.address)) is not None:
            for (version, bits), blocked in self.networks.items():
                if version == address.version:
                    shift = address.max_prefixlen - bits
                    where = blocked.get(int(address) >> shift << shift)
                    if where is not None and not here.isdisjoint(where):
                        return True
        if self.digests:
            named = [
                *(contact_digest(secret, BlockKind.EMAIL, email) for email in sender.emails),
                *(contact_digest(secret, BlockKind.PHONE, phone) for phone in sender.phones),
            ]
            if any(not here.isdisjoint(self.digests.get(digest, ())) for digest in named):
                return True
        if self.people and sender.person_id is not None:
            return not here.isdisjoint(self.people.get(sender.person_id, ()))
        return False


def address_of(text: str) -> Address | None:
    """The address in a text; one of IPv4 that came as IPv6 is one of IPv4."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def network_of(text: str) -> Network:
    """The network that a text names; a single IPv6 address stands for its /64.

    Raises:
        NetworkError: it is none, or wider than `WIDEST`.
    """
    text = text.strip()
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise NetworkError("This is no network such as 192.0.2.0/24 or 2001:db8::/48.") from error
    if isinstance(network, ipaddress.IPv6Network):
        mapped = network.network_address.ipv4_mapped
        if mapped is not None and network.prefixlen >= 96:
            network = ipaddress.ip_network((mapped, network.prefixlen - 96), strict=False)
        elif "/" not in text:
            network = network.supernet(new_prefix=HOUSEHOLD_BITS)
    if network.prefixlen < WIDEST[network.version]:
        raise NetworkError(
            f"This network is too wide: no more than a /{WIDEST[4]} of IPv4 or a /{WIDEST[6]} of"
            " IPv6 can be blocked at once."
        )
    return network


def contact_digest(secret: str, kind: BlockKind, contact: str) -> bytes:
    """What stands for an address or number, in its normal form."""
    return mac(secret, f"block|{kind}|{contact}".encode())
