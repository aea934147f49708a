"""VPC stacks for clusters with low latency: templates and what they must have, and stacks made, checked and deleted.

:func:`create_vpn_infra` makes a network by one call; it is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hvdsm.vpc.stacks.infra import create_vpn_infra

__all__ = ["create_vpn_infra"]


def __getattr__(name: str) -> Any:
    """A public name, imported now (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from hvdsm.vpc.stacks.infra import create_vpn_infra

    return create_vpn_infra
