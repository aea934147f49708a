"""Blocks of addresses for a network and its subnets.

Source: Amazon VPC User Guide, "VPC CIDR blocks" and "Subnet sizing": from /16 to /28; five addresses of each subnet are reserved.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Dict, List, Optional, Sequence, Tuple

from hvdsm.errors import ConfigError

# Addresses of a subnet that nobody gets.
RESERVED = 5
LARGEST, SMALLEST = 16, 28
# The size of a subnet that nobody asked for; a smaller network is divided by four.
USUAL = 24
_PRIVATE = tuple(IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"))
_TAKEN = IPv4Network("172.17.0.0/16")


def block_of(text: str, where: str) -> IPv4Network:
    """A block from its text.

    Raises:
        ConfigError: it is none, or has a size that AWS does not take.
    """
    try:
        loose = IPv4Network(text, strict=False)
    except ValueError:
        raise ConfigError(f"{text!r} is no block of IPv4 addresses", where=where, remedy="write it as 10.0.0.0/16") from None
    if str(loose) != text:
        raise ConfigError(f"{text} does not begin where a block of its size does", where=where, remedy=f"write {loose}")
    if not LARGEST <= loose.prefixlen <= SMALLEST:
        raise ConfigError(
            f"{text} has {loose.num_addresses} addresses; AWS takes blocks from /{LARGEST} to /{SMALLEST}",
            where=where,
            remedy=f"choose one such as {loose.network_address}/{min(max(loose.prefixlen, LARGEST), SMALLEST)}",
        )
    return loose


def choose_blocks(
    whole: str,
    subnets: Sequence[str],
    *,
    used: int,
    fixed: Sequence[bool],
    needed: Tuple[int, str] = (0, ""),
    notes: Optional[List[str]] = None,
) -> List[str]:
    """The blocks of the subnets: as they are where they fit, else others that do.

    Args:
        whole: the network's block.
        subnets: a block for each subnet that there may be.
        used: how many of them there are.
        fixed: which must stay as they are.
        needed: addresses that each subnet in use must have, and what for, in words.
        notes: gets what was decided, in words.

    Raises:
        ConfigError: a block is none, lies outside, overlaps another or is too small, and must stay as it is; or the network has
            no place.
    """
    network = block_of(whole, "--cidr")
    said = [] if notes is None else notes
    if not any(network.subnet_of(private) for private in _PRIVATE):
        said.append(f"warning: {network} is not private: hosts of the internet with these addresses cannot be reached from it")
    if network.overlaps(_TAKEN):
        said.append(f"warning: {network} overlaps {_TAKEN}, which Amazon SageMaker uses itself; choose another block")
    if needed[0] > 2 ** (32 - LARGEST) - RESERVED:
        raise ConfigError(
            f"{needed[1]} take {needed[0]} addresses: more than the largest subnet has",
            where="--instance-count",
            remedy=f"fewer instances: a subnet of /{LARGEST} has {2 ** (32 - LARGEST) - RESERVED} addresses",
        )
    made = _placed(network, subnets, used, fixed, needed, keep=True)
    if made is None:
        # Those that would fit by themselves leave no place for the others.
        made = _placed(network, subnets, used, fixed, needed, keep=False)
    if made is None:
        raise ConfigError(
            f"has no place for {used} subnets of /{_width(network, needed)}",
            where=f"--cidr {network}",
            remedy="a larger --cidr, smaller blocks by --subnet-cidr, or fewer --zones",
        )
    result = [str(made[n]) if n in made else text for n, text in enumerate(subnets)]
    if any(result[n] != subnets[n] for n in range(used)):
        said.append(f"subnets within {network}: {', '.join(result[:used])}")
    return result


def _placed(
    network: IPv4Network, subnets: Sequence[str], used: int, fixed: Sequence[bool], needed: Tuple[int, str], *, keep: bool
) -> Optional[Dict[int, IPv4Network]]:
    """A block for each subnet; None where one that is used finds no place.

    Raises:
        ConfigError: one that must stay cannot.
    """
    width = _width(network, needed)
    kept: List[Tuple[int, IPv4Network]] = []
    # Those that must stay have their place before the others.
    for n in sorted(range(len(subnets)), key=lambda n: (n >= used, not fixed[n], n)):
        found: Optional[IPv4Network] = None
        if fixed[n]:
            found = block_of(subnets[n], f"--subnet-cidr of subnet {n + 1}")
            if n < used:
                _check(n, found, network, kept, needed)
        elif keep:
            found = _fitting(subnets[n], network, kept, needed if n < used else (0, ""))
        if found is None:
            found = _free(network, [other for _, other in kept], width)
        if found is not None:
            kept.append((n, found))
        elif n < used:
            return None
    return dict(kept)


def _width(network: IPv4Network, needed: Tuple[int, str]) -> int:
    """The prefix of a block that is chosen here."""
    width = max(USUAL, network.prefixlen + 2)
    while width > LARGEST and 2 ** (32 - width) - RESERVED < needed[0]:
        width -= 1
    return min(width, SMALLEST)


def _check(
    n: int, block: IPv4Network, network: IPv4Network, others: Sequence[Tuple[int, IPv4Network]], needed: Tuple[int, str]
) -> None:
    where = f"subnet {n + 1} ({block})"
    if not block.subnet_of(network):
        raise ConfigError(f"is not within {network}", where=where, remedy="choose --subnet-cidr within --cidr")
    for other, taken in others:
        if block.overlaps(taken):
            raise ConfigError(
                f"overlaps {taken} of subnet {other + 1}", where=where, remedy="choose --subnet-cidr that lie apart"
            )
    usable = block.num_addresses - RESERVED
    if usable < needed[0]:
        width = _width(network, needed)
        wanted = f"{IPv4Network(f'{block.network_address}/{width}', strict=False)}"
        raise ConfigError(
            f"has {usable} addresses; {needed[1]} take {needed[0]}",
            where=where,
            remedy=f"--subnet-cidr {wanted}, or fewer instances",
        )


def _fitting(
    text: str, network: IPv4Network, others: Sequence[Tuple[int, IPv4Network]], needed: Tuple[int, str]
) -> Optional[IPv4Network]:
    """The block, if it has a place and is large enough."""
    try:
        block = IPv4Network(text)
        _check(0, block, network, others, needed)
    except (ValueError, ConfigError):
        return None
    return block


def _free(network: IPv4Network, taken: Sequence[IPv4Network], width: int) -> Optional[IPv4Network]:
    if width < network.prefixlen:
        return None
    return next((block for block in network.subnets(new_prefix=width) if not any(block.overlaps(other) for other in taken)), None)
