"""Environment variables that stand for options: ``HVDSM_LAUNCH_INSTANCE_COUNT``, and those that others have named."""

from __future__ import annotations

from typing import Dict, Iterator, List, Mapping, Tuple

from hvdsm.errors import ConfigError
from hvdsm.settings.configured import ENVIRONMENT, Configured, Source, Target, option_of
from hvdsm.settings.document import closest
from hvdsm.settings.options import Option, WrongValue, from_text

# Variables of AWS and of common practice, by the argument that they are for; the first that is set holds.
FOREIGN: Dict[str, Tuple[str, ...]] = {
    "region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
    "role": ("SAGEMAKER_ROLE",),
    "s3_prefix": ("S3_PATH",),
    "aws_profile": ("AWS_PROFILE",),
}
# Left to the AWS library: a profile that is named to it explicitly would win over AWS_ACCESS_KEY_ID.
_LEFT = ("aws_profile",)
# Settings of the container program (hvdsm/container/config.py) that look like an option's variable.
_CONTAINERS = ("HVDSM_LAUNCH_TIMEOUT",)


def variables(target: Target, option: Option) -> List[str]:
    """The variables of an option, the one to show first."""
    prefix = prefix_of(target)
    return [*(prefix + key.upper() for key in option.keys), *FOREIGN.get(option.name, ())]


def prefix_of(target: Target) -> str:
    """``HVDSM_LAUNCH_``."""
    return "HVDSM_" + "".join(f"{name.upper().replace('-', '_')}_" for name in target.path)


def environment(found: Configured, target: Target, environ: Mapping[str, str]) -> List[ConfigError]:
    """Lay the variables for a command over what is there; gives what is wrong in them."""
    problems: List[ConfigError] = []
    prefix = prefix_of(target)
    given: Dict[str, List[Tuple[str, str]]] = {}
    for variable, text in sorted(environ.items()):
        if not variable.startswith(prefix) or variable in _CONTAINERS or not text:
            continue
        is_many = text.lstrip()[:1] in ("{", "[") or "=" in text
        option = option_of(target.options, variable[len(prefix) :].lower(), is_many)
        if option is None:
            known = [name for option in target.options for name in variables(target, option)]
            close = closest(variable, known)
            found.warnings.append(f"{variable} is the variable of no option{f'; did you mean {close}?' if close else ''}")
        else:
            given.setdefault(option.name, []).append((variable, text))
    for option in target.options:
        own = given.get(option.name) or list(_foreign(found, option, environ))
        if len({text for _, text in own}) > 1:
            names = " and ".join(variable for variable, _ in own)
            problems.append(ConfigError("say different things of one option", where=names, remedy="unset one of them"))
        elif own:
            variable, text = own[0]
            source = Source(ENVIRONMENT, variable)
            if option.name in _LEFT and variable in FOREIGN[option.name]:
                found.default_map.pop(option.name, None)
                found.sources.pop(option.name, None)
                found.left[option.name] = source
                continue
            try:
                found.put(option, from_text(option, text), source)
            except WrongValue as error:
                problems.append(ConfigError(str(error), where=variable, remedy=f"change it, or unset {variable}"))
    return problems


def _foreign(found: Configured, option: Option, environ: Mapping[str, str]) -> Iterator[Tuple[str, str]]:
    for variable in FOREIGN.get(option.name, ()):
        text = environ.get(variable)
        if not text or option.multiple:
            continue
        # S3_PATH is a common name: of other programs it may be anything.
        if option.name == "s3_prefix" and not text.startswith("s3://"):
            found.warnings.append(f"{variable} is not used: it is no s3:// address")
            continue
        yield variable, text
        return
