"""Profiles of the AWS SDKs for clients of the sandbox: names and regions of a person's own ones, and nothing secret."""

from __future__ import annotations

import os
from typing import Any, Dict, Mapping, Optional

DEFAULT = "default"
DEFAULT_REGION = "us-east-1"


def own_profiles(environ: Mapping[str, str]) -> Dict[str, Optional[str]]:
    """Names of a person's own profiles, and the region of each.

    Args:
        environ: the person's environment; AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE say where the files are.
    """
    home = environ.get("HOME") or os.path.expanduser("~")
    config = _read(environ.get("AWS_CONFIG_FILE") or os.path.join(home, ".aws", "config"))
    credentials = _read(environ.get("AWS_SHARED_CREDENTIALS_FILE") or os.path.join(home, ".aws", "credentials"))
    found: Dict[str, Optional[str]] = {}
    for title, values in config.items():
        kind, _, name = title.partition(" ")
        if title == DEFAULT:
            found[DEFAULT] = values.get("region")
        elif kind == "profile" and name.strip():
            found[name.strip().strip("\"'")] = values.get("region")
    for title, values in credentials.items():
        found[title] = found.get(title) or values.get("region")
    return {name: region if isinstance(region, str) else None for name, region in found.items()}


def region_of(environ: Mapping[str, str]) -> str:
    """The region that a client in this environment would use; us-east-1 where none is configured."""
    named = environ.get("AWS_DEFAULT_REGION") or environ.get("AWS_REGION")
    if named:
        return named
    profile = environ.get("AWS_PROFILE") or environ.get("AWS_DEFAULT_PROFILE") or DEFAULT
    return own_profiles(environ).get(profile) or DEFAULT_REGION


def config_text(profiles: Mapping[str, Optional[str]], region: str) -> str:
    """A configuration file with these profiles."""
    regions = {**{name: own or region for name, own in profiles.items()}, DEFAULT: region}
    return "".join(
        f"[{name if name == DEFAULT else f'profile {_quoted(name)}'}]\nregion = {own}\n" for name, own in sorted(regions.items())
    )


def credentials_text(profiles: Mapping[str, Optional[str]], values: Mapping[str, str]) -> str:
    """A file of credentials, the same for each profile.

    Args:
        profiles: their names.
        values: ``aws_access_key_id`` and so on.
    """
    lines = "".join(f"{name} = {value}\n" for name, value in values.items())
    return "".join(f"[{name}]\n{lines}" for name in sorted({*profiles, DEFAULT}))


def _quoted(name: str) -> str:
    return f'"{name}"' if " " in name else name


def _read(path: str) -> Dict[str, Any]:
    from botocore.configloader import raw_config_parse
    from botocore.exceptions import BotoCoreError

    try:
        read: Dict[str, Any] = raw_config_parse(os.path.expanduser(path), parse_subsections=False)
    except (BotoCoreError, OSError):
        # Not there, or not to be understood: no client of the sandbox needs it.
        return {}
    return read
