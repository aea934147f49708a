"""The template that comes with hvdsm, and the check of a template in all the forms that it can take."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Set, Tuple

import hvdsm
from hvdsm.errors import ConfigError
from hvdsm.vpc.templates.blaming import MALFORMED, blame
from hvdsm.vpc.templates.coverage import Coverage
from hvdsm.vpc.templates.declared import declared
from hvdsm.vpc.templates.forms import elsewhere, forms
from hvdsm.vpc.templates.groups import Finding
from hvdsm.vpc.templates.policy import findings
from hvdsm.vpc.templates.reading import WHERE, load
from hvdsm.vpc.templates.rendering import Rendered, RuleRefused, Setting, render
from hvdsm.vpc.templates.room import Hosts, room
from hvdsm.vpc.templates.shapes import names

NAME = "training-cluster.yaml"
_AGAIN = "install hvdsm anew, or give --template FILE"
# Another partition, region and account than those that templates are rendered for otherwise.
ELSEWHERE = Setting(
    region="us-gov-west-1",
    account="210987654321",
    partition="aws-us-gov",
    stack="another",
    # Not every region has an a.
    zones=("us-gov-west-1b", "us-gov-west-1c", "us-gov-west-1d"),
)


def text() -> str:
    """The template that comes with hvdsm, ``vpc/training-cluster.yaml``: at the top of a checkout, in the package elsewhere.

    Raises:
        ConfigError: the file is not there, or is no template.
    """
    package = Path(hvdsm.__file__).parent
    for place in (package / "vpc" / NAME, package.parent / "vpc" / NAME):
        try:
            found = place.read_text(encoding="utf-8")
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot be read: {error}", where=NAME, remedy=_AGAIN) from None
        # A link of a checkout without links is a text that says where it leads.
        if found.startswith("AWSTemplateFormatVersion"):
            return found
    raise ConfigError("is not there", where=NAME, remedy=_AGAIN)


def defaults(text: str) -> Dict[str, str]:
    """The parameters of a template and their defaults; one without a default is not named.

    Raises:
        ConfigError: the text is no template.
    """
    declared: Mapping[str, Any] = load(text).get("Parameters") or {}
    return {name: str(about["Default"]) for name, about in declared.items() if "Default" in about}


def check_template(
    text: str,
    *,
    parameters: Optional[Mapping[str, str]] = None,
    setting: Optional[Setting] = None,
    hosts: Optional[Hosts] = None,
) -> List[Finding]:
    """What is wrong with a template for distributed training.

    Args:
        text: YAML or JSON.
        parameters: values; without any, every form is checked that the template's conditions can give it.
        setting: region, account and so on.
        hosts: those of a job that each subnet has to hold; nothing is said of its room without them.

    Returns:
        Each finding once, in the order of the rules; what cannot be rendered with some values is one, too.

    Raises:
        ConfigError: the text is no template; a given parameter is unknown or refused.
    """
    template, where = load(text), setting or Setting()
    if parameters is not None:
        return _of(render(template, parameters, where), hosts)
    return list(dict.fromkeys(every_finding(template, where, hosts)))


def _of(rendered: Rendered, hosts: Optional[Hosts]) -> List[Finding]:
    return findings(rendered) + (list(room(rendered, hosts)) if hosts is not None else [])


def every_finding(
    template: Mapping[str, Any], setting: Optional[Setting] = None, hosts: Optional[Hosts] = None
) -> Iterator[Finding]:
    """The findings of each form of a template that was read, one after the other; a finding may come more than once."""
    where = setting or Setting()
    yield from names(template)
    try:
        yield from declared(template)
        tried = forms(template, {}, where.zones)
    except ConfigError as error:
        yield _unreadable(error, {})
        return
    except MALFORMED:
        yield _malformed(template, {}, lambda changed: (list(declared(changed)), forms(changed, {}, where.zones)))
        return
    seen = Coverage(template)
    told: Set[Tuple[str, str]] = set()
    for number, form in enumerate(tried):
        try:
            rendered = render(template, form, where)
            seen.note(rendered)
            for finding in _of(rendered, hosts):
                told.add((finding.rule, finding.resource))
                yield finding
        except RuleRefused as error:
            seen.note_refused(form)
            if number == 0:
                yield _unreadable(error, _others(form, tried[0]))
        except (ConfigError, *MALFORMED) as error:
            # The first form that it is wrong in will do.
            if ("render", str(error)) in told:
                continue
            told.add(("render", str(error)))
            if isinstance(error, ConfigError):
                yield _unreadable(error, _others(form, tried[0]))
            else:
                yield _malformed(template, _others(form, tried[0]), _rendering(form, where))
    # A form that cannot be made says nothing about conditions.
    if not any(rule == "render" for rule, _ in told):
        yield from seen.findings()
    yield from _elsewhere(template, where, told)


def _elsewhere(template: Mapping[str, Any], where: Setting, told: Set[Tuple[str, str]]) -> Iterator[Finding]:
    """Findings in another region, account, partition and network only: what is written out that must be asked for."""
    other = ELSEWHERE if where.region != ELSEWHERE.region else Setting()
    form: Mapping[str, str] = {}
    try:
        form = elsewhere(template, other.zones)
        found = findings(render(template, form, other))
        yield from (finding for finding in found if (finding.rule, finding.resource) not in told)
    except (ConfigError, *MALFORMED) as error:
        if ("render", str(error)) in told:
            return
        if isinstance(error, ConfigError):
            yield _unreadable(error, {"region": other.region})
        else:
            yield _malformed(template, {"region": other.region}, _rendering(form, other))


def _rendering(form: Mapping[str, str], where: Setting) -> Callable[[Mapping[str, Any]], Any]:
    def work(template: Mapping[str, Any]) -> List[Finding]:
        declared: Mapping[str, Any] = template.get("Parameters") or {}
        return findings(render(template, {name: value for name, value in form.items() if name in declared}, where))

    return work


def _others(form: Mapping[str, str], first: Mapping[str, str]) -> Dict[str, str]:
    return {name: value for name, value in form.items() if value != first.get(name)}


def _cannot(form: Mapping[str, str]) -> str:
    about = ", ".join(f"{name}={value}" for name, value in form.items())
    return f"cannot be made{f' with {about}' if about else ''}"


def _unreadable(error: ConfigError, form: Mapping[str, str]) -> Finding:
    place = (error.where or "").replace(f"{WHERE}: ", "")
    return Finding("render", place, f"{_cannot(form)}: {error.what}", error.remedy or "correct the template")


def _malformed(template: Mapping[str, Any], form: Mapping[str, str], work: Callable[[Mapping[str, Any]], Any]) -> Finding:
    place, what = blame(template, work)
    return Finding("render", place, f"{_cannot(form)}: {what}", "write it as the reference of CloudFormation has it")
