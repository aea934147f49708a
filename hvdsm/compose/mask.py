"""Secrets in what is shown or written: names that look like a secret's, and where values of such names can stand.

A masked value is ``<masked>``: a request that holds one cannot be executed again before the value is given anew.
"""

from __future__ import annotations

import json
import re
from typing import Any, Dict, List, Mapping, Sequence

from hvdsm.compose.arguments import is_packed_key, pack_arguments, unpack_arguments
from hvdsm.model.plan import PLAN_KEY

MASK = "<masked>"

_SECRET = re.compile(
    r"(?:^|[_.\-])(?:secret|token|password|passwd|passphrase|pass|auth|authorization|credentials?"
    r"|(?:api|access|secret|private|account|auth|encryption|signing)[_.\-]?key(?:[_.\-]?id)?)$"
    r"|(?:apikey|password|passphrase|secretkey|accesskey)$"
    r"|(?:^|[_.\-])(?:secret|password|credentials)[_.\-](?!file$|path$|dir$)"
    r"|[_.\-]pwd$",
    re.IGNORECASE,
)
# Tokens of a text model's vocabulary and the like, which are no secrets.
_HARMLESS = re.compile(
    r"(?:^|[_.\-])(?:pad|eos|bos|unk|mask|sep|cls|stop|start|end|special|image|new)[_.\-]token$", re.IGNORECASE
)
# A password may hold an @ itself: the last one before the path counts.
_URL_USER = re.compile(r"(?<=://)[^/\s\"'?#]+(?=@)")
# What makes a presigned address one that anybody can use; also of the older kind, and of Azure and Google.
_URL_SIGNATURE = re.compile(
    r"(?<=[?&])((?:X-(?:Amz|Goog)-(?:Signature|Security-Token|Credential)|AWSAccessKeyId|GoogleAccessId|Signature|sig)=)[^&#\s\"'<>]+",
    re.IGNORECASE,
)
_ASSIGNMENT = re.compile(r"(?<![\w.\-])(-{0,2}[A-Za-z_][\w.\-]*)=(\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^\s\"',;]+)")
# Fields of a request that are masked each in a way of its own, and those whose text is a regular expression.
_OWN_WAY = ("Environment", "HyperParameters", "AlgorithmSpecification")
_EXPRESSIONS = ("Regex",)
_MPI_KEY = "sagemaker_mpi_custom_mpi_options"


def looks_secret(name: str) -> bool:
    """Whether a variable, option or hyperparameter of this name usually holds a secret.

    >>> [looks_secret(name) for name in ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "max_tokens", "pad_token", "tokenizer")]
    [True, True, False, False, False]
    """
    return bool(_SECRET.search(name)) and not _HARMLESS.search(name)


def mask_value(name: str, value: str) -> str:
    """``<masked>`` for a secret-looking name; else the value, without user, password and signature of URLs in it."""
    if looks_secret(name) and value:
        return MASK
    return mask_text(value)


def mask_text(text: str) -> str:
    """A text with the values of secret-looking ``NAME=value`` words, and of URLs user and signature, masked."""
    text = _mask_urls(text)
    return _ASSIGNMENT.sub(lambda found: f"{found[1]}={MASK}" if looks_secret(found[1]) else found[0], text)


def _mask_urls(text: str) -> str:
    return _URL_SIGNATURE.sub(rf"\1{MASK}", _URL_USER.sub(MASK, text))


def mask_mapping(values: Mapping[str, str]) -> Dict[str, str]:
    """The same names with their values masked where needed; for environments."""
    return {name: _mask_variable(name, value) for name, value in values.items()}


def _mask_variable(name: str, value: str) -> str:
    """The same as :func:`mask_value`; a value with a secret among options, as ``--password VALUE``, is masked as a whole."""
    masked = mask_value(name, value)
    words = masked.split()
    return masked if mask_arguments(words) == words else MASK


def mask_arguments(words: Sequence[str]) -> List[str]:
    """A command line with the values of ``--secret-name VALUE`` and ``--secret-name=VALUE`` masked."""
    masked: List[str] = []
    hide_next = False
    for word in words:
        name, equals, value = word.lstrip("-").partition("=") if word.startswith("-") else ("", "", "")
        if hide_next:
            masked.append(MASK)
        elif equals and value and looks_secret(name):
            masked.append(word[: len(word) - len(value)] + MASK)
        else:
            masked.append(mask_text(word))
        hide_next = not hide_next and bool(name) and not equals and looks_secret(name)
    return masked


def mask_request(request: Mapping[str, Any]) -> Dict[str, Any]:
    """A CreateTrainingJob request with the secrets masked in its Environment, HyperParameters and arguments.

    Elsewhere, tags and parameters of rules among it, values of secret-looking names and parts of URLs are.  ARNs are no secrets.
    """
    masked: Dict[str, Any] = {name: value if name in _OWN_WAY else _masked(value, name) for name, value in request.items()}
    if isinstance(request.get("Environment"), Mapping):
        masked["Environment"] = mask_mapping(request["Environment"])
    if isinstance(request.get("HyperParameters"), Mapping):
        masked["HyperParameters"] = _mask_hyperparameters(request["HyperParameters"])
    algorithm = request.get("AlgorithmSpecification")
    if isinstance(algorithm, Mapping):
        lists = {k: mask_arguments(algorithm[k]) for k in ("ContainerEntrypoint", "ContainerArguments") if algorithm.get(k)}
        masked["AlgorithmSpecification"] = {**_masked(algorithm), **lists}
    return masked


def _masked(value: Any, name: str = "") -> Any:
    """A value of any kind that stands under a name."""
    if isinstance(value, Mapping):
        if set(value) == {"Key", "Value"} and isinstance(value["Value"], str):
            return {"Key": value["Key"], "Value": _masked(value["Value"], str(value["Key"]))}
        return {key: _masked(below, str(key)) for key, below in value.items()}
    if isinstance(value, (list, tuple)):
        return [_masked(below, name) for below in value]
    if not isinstance(value, str) or name in _EXPRESSIONS:
        return value
    return MASK if value and looks_secret(name) else _mask_urls(value)


def _mask_hyperparameters(values: Mapping[str, str]) -> Dict[str, str]:
    masked = {}
    for key, value in values.items():
        if is_packed_key(key):
            continue
        if looks_secret(key) and value:
            masked[key] = json.dumps(MASK)
        elif key == _MPI_KEY:
            masked[key] = _mask_json_text(value)
        elif key == PLAN_KEY:
            masked[key] = _mask_plan_text(value)
        else:
            masked[key] = _mask_urls(value)
    try:
        masked.update(pack_arguments(mask_arguments(unpack_arguments(values))))
    except ValueError:
        masked.update({key: MASK for key in values if is_packed_key(key)})
    return masked


def _mask_json_text(value: str) -> str:
    try:
        text = json.loads(value)
    except ValueError:
        text = None
    return json.dumps(mask_text(text)) if isinstance(text, str) else mask_text(value)


def _mask_plan_text(value: str) -> str:
    """A plan of steps and roles: its variables and the words of its commands; or the path of its file."""
    try:
        plan = json.loads(value)
    except ValueError:
        plan = None
    return json.dumps(_masked_plan(plan)) if isinstance(plan, Mapping) else _mask_urls(value)


def _masked_plan(value: Any, name: str = "") -> Any:
    if isinstance(value, Mapping):
        return {key: _masked_plan(below, str(key)) for key, below in value.items()}
    if isinstance(value, list):
        words = bool(value) and all(isinstance(word, str) for word in value)
        return mask_arguments(value) if words else [_masked_plan(below) for below in value]
    return _masked(value, name)


def masked_fields(request: Mapping[str, Any]) -> List[str]:
    """The fields of a request that hold ``<masked>`` where a value should be."""
    found: List[str] = []
    _find_masks(request, "", found)
    return sorted(found)


def _find_masks(value: Any, path: str, found: List[str]) -> None:
    if isinstance(value, Mapping):
        for key, below in value.items():
            _find_masks(below, f"{path}.{key}" if path else str(key), found)
    elif isinstance(value, (list, tuple)):
        for index, below in enumerate(value):
            _find_masks(below, f"{path}[{index}]", found)
    elif isinstance(value, str) and MASK in value:
        found.append(path)
