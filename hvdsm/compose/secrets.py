"""Secrets that a job names instead of holding: which variable gets which secret, and what a value does not show up in.

The hyperparameter ``sagemaker_hvdsm_secrets`` is a JSON object of variables and ARNs.  It is no secret: everyone who may describe
the job reads it.  The values are fetched on each host.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Mapping, Tuple, Union
from urllib.parse import quote

from hvdsm.compose.mask import MASK
from hvdsm.errors import ConfigError

HYPERPARAMETER = "sagemaker_hvdsm_secrets"
SECRETS_MANAGER = "secretsmanager"
PARAMETER_STORE = "ssm"
# Shorter ones stand in too many texts by chance.
SHORTEST = 4

_WHERE = f"hyperparameter {HYPERPARAMETER}"
_EXAMPLE = (
    'give {"HF_TOKEN": "arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-AbCdEf"} or '
    "arn:aws:ssm:REGION:ACCOUNT:parameter/NAME, with #KEY behind it for one value of a JSON object"
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What tells a rank its place, and what programs are found and loaded by.
_TAKEN = re.compile(
    r"(?:SM|HVDSM|OMPI|PMIX|PRTE|OPAL|PMI|ORTE|TORCHELASTIC|LD)_.*"
    r"|(?:LOCAL_|GROUP_|NODE_)?RANK|(?:LOCAL_)?WORLD_SIZE|MASTER_(?:ADDR|PORT)|CURRENT_HOST|PATH|PYTHON(?:PATH|HOME)|HOME|SHELL|USER"
)
# Amazon Resource Names: "Secrets Manager" and "Systems Manager" in the Service Authorization Reference.
_ARN = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):(?:(?P<sm>secretsmanager)|ssm):(?P<region>[a-z]{2,}(?:-[a-z]+)+-\d+):(?P<account>\d{12}):"
    r"(?(sm)secret:[A-Za-z0-9/_+=.@!-]{1,519}|parameter/[A-Za-z0-9_./-]{1,1011})"
)


@dataclass(frozen=True)
class SecretRef:
    """A secret of AWS.

    Attributes:
        service: ``secretsmanager`` or ``ssm``.
        arn: its whole name, without a key.
        region: where it is.
        key: the value of a JSON object that is meant; empty for the whole secret.
    """

    service: str
    arn: str
    region: str
    key: str = ""

    @property
    def action(self) -> str:
        """The IAM action that reading it needs."""
        return f"{self.service}:GetSecretValue" if self.service == SECRETS_MANAGER else "ssm:GetParameter"


def parse_secrets(value: Union[str, Mapping[str, Any], None]) -> Dict[str, SecretRef]:
    """The variables and secrets of ``sagemaker_hvdsm_secrets``.

    Args:
        value: the hyperparameter: JSON, once more encoded as JSON or not, or what was decoded from it; empty names no secret.

    Raises:
        ConfigError: it is no JSON object of variables and ARNs; the message has all that is wrong.
    """
    found = _decoded(value)
    wrong: List[str] = []
    references: Dict[str, SecretRef] = {}
    for name, arn in found.items():
        wrong += _wrong_name(name)
        reference = parse_arn(arn) if isinstance(arn, str) else None
        if reference is None:
            wrong.append(f"{name}: {_shown(arn)} is no ARN of a secret or of a parameter")
        else:
            references[name] = reference
    if wrong:
        raise ConfigError("; ".join(wrong), where=_WHERE, remedy=_EXAMPLE)
    return references


def parse_arn(text: str) -> Union[SecretRef, None]:
    """What an ARN, with ``#KEY`` behind it or not, refers to; None when it is neither a secret's nor a parameter's.

    >>> parse_arn("arn:aws:ssm:eu-west-1:123456789012:parameter/db/password#user").key
    'user'
    """
    arn, mark, key = text.partition("#")
    match = _ARN.fullmatch(arn)
    if match is None or (mark and not key):
        return None
    return SecretRef(SECRETS_MANAGER if match["sm"] else PARAMETER_STORE, arn, match["region"], key)


def _decoded(value: Union[str, Mapping[str, Any], None]) -> Mapping[str, Any]:
    document: Any = value
    try:
        for _ in range(3):
            if isinstance(document, str) and document:
                document = json.loads(document, object_pairs_hook=_each_once)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"it is no JSON object: {error}", where=_WHERE, remedy=_EXAMPLE) from None
    if document in (None, "", {}):
        return {}
    if not isinstance(document, Mapping):
        raise ConfigError("it is no JSON object of variables and ARNs", where=_WHERE, remedy=_EXAMPLE)
    return document


def _each_once(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a variable is named twice")
    return found


def _wrong_name(name: str) -> List[str]:
    if not _VARIABLE.fullmatch(name):
        return [f"{name!r} cannot be a variable's name"]
    return [f"{name} is a variable that the job sets itself"] if _TAKEN.fullmatch(name) else []


def _shown(arn: object) -> str:
    """Somebody may have put the secret itself in the place of its ARN: only what begins like an ARN is shown."""
    return repr(arn) if isinstance(arn, str) and arn.startswith("arn:") else "its value (not shown)"


def secret_value(name: str, reference: SecretRef, text: str) -> str:
    """What a variable gets of a secret: the whole text, or the value of its key.

    Raises:
        ConfigError: there is no such key, or the value cannot be a variable's.
    """
    where = _place(name, reference)
    if reference.key:
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise ConfigError(f"it is no JSON object, and {reference.key!r} of it is wanted", where=where, remedy=_KEY)
        if reference.key not in document:
            raise ConfigError(f"it has no key {reference.key!r}", where=where, remedy=_KEY)
        value = document[reference.key]
        text = value if isinstance(value, str) else json.dumps(value)
    if "\0" in text:
        raise ConfigError(
            "it holds a zero byte, which no variable can", where=where, remedy="store it as text, for example in base64"
        )
    return text


_KEY = "check the key behind # in its ARN; without #KEY the variable gets the whole secret"


def refused(name: str, reference: SecretRef, code: str, said: str) -> ConfigError:
    """The error for a secret that AWS does not give.

    Args:
        name: the variable.
        reference: the secret.
        code: AWS's name of the reason, such as ``AccessDeniedException``.
        said: AWS's message, which never holds a value.
    """
    what, remedy = _refusal(reference, code, said)
    return ConfigError(f"{what}: {code}: {said}" if said else f"{what}: {code}", where=_place(name, reference), remedy=remedy)


def _refusal(reference: SecretRef, code: str, said: str) -> Tuple[str, str]:
    """What is wrong, and what to do."""
    if re.search(r"KMS|kms:|ciphertext", said) and re.search("AccessDenied|Decryption|KMS|InvalidKey", code):
        return "its key may not be used", f"allow kms:Decrypt on the secret's KMS key to {_role(said)}"
    if re.search("AccessDenied|UnauthorizedOperation|NotAuthorized", code):
        return "the role may not read it", f"allow {reference.action} on {reference.arn} to {_role(said)}"
    if re.search("NotFound", code):
        return "there is none of this name", "check name, account and region of its ARN"
    if re.search("Signature|UnrecognizedClient|InvalidClientToken|InvalidToken|ExpiredToken|MissingAuthentication", code + said):
        return "the credentials are not valid", "check the credentials, and this host's clock"
    if "InvalidRequest" in code and "deletion" in said:
        return "it is marked for deletion", "restore it: aws secretsmanager restore-secret"
    return "AWS refuses", "check the ARN"


def _place(name: str, reference: SecretRef) -> str:
    return f"secret {name} ({reference.arn})"


def _role(said: str) -> str:
    """The role that AWS names in its refusal (``…:assumed-role/ROLE/SESSION``), else what it is in SageMaker."""
    match = re.search(r"arn:aws[a-z-]*:sts::(\d{12}):assumed-role/([\w+=,.@/-]+)/", said)
    return f"the job's execution role {match[2]} of account {match[1]}" if match else "the job's execution role"


def unreachable(name: str, reference: SecretRef, reason: str, server: str) -> ConfigError:
    """The error for a service that gives no answer."""
    return ConfigError(
        f"cannot be had: {reason}",
        where=_place(name, reference),
        remedy=f"check the network's way to {server} (in a VPC without internet: an interface endpoint for {reference.service}); "
        "a job with network isolation reaches nothing",
    )


def forms(values: Iterable[str]) -> Tuple[str, ...]:
    """The texts to mask for some values: as they are, and as Python, JSON and URLs write them; the longest first."""
    found = set()
    for value in values:
        for text in (value, value.strip()):
            found |= {text, repr(text)[1:-1], json.dumps(text)[1:-1], quote(text, safe=""), quote(text)}
            # A traceback or a log shows the lines of a key one by one.
            found |= {line.strip() for line in text.splitlines() if len(line.strip()) >= 2 * SHORTEST}
    return tuple(sorted((text for text in found if len(text) >= SHORTEST), key=lambda text: (-len(text), text)))


def without(text: str, masked: Iterable[str]) -> str:
    """A text with everything that :func:`forms` names replaced by ``<masked>``."""
    for form in masked:
        if form in text:
            text = text.replace(form, MASK)
    return text


def without_pieces(text: str, masked: Iterable[str], longest: int) -> str:
    """The same for a text that is the end of a longer one: what is left of a form at its beginning is masked too.

    Args:
        text: what was kept, at most ``longest`` bytes.
        masked: of :func:`forms`.
        longest: a text this long has lost its beginning.
    """
    forms_ = tuple(masked)
    text = without(text, forms_)
    if len(text.encode("utf-8", "replace")) < longest - max((len(form) for form in forms_), default=0):
        return text
    begin = text[:SHORTEST]
    for form in forms_:
        at = form.find(begin, 1)
        while at > 0:
            if text.startswith(form[at:]):
                return MASK + text[len(form) - at :]
            at = form.find(begin, at + 1)
    return text
