"""Script arguments from hyperparameters, and the pieces in which verbatim arguments travel.

Source of the rules: the SageMaker Training Toolkit's ``to_cmd_args`` and the limit of 2,500 characters that
CreateTrainingJob sets to a hyperparameter's value.
"""

from __future__ import annotations

import json
from typing import Any, Dict, List, Mapping, Sequence, Tuple

ARGS_KEY = "sagemaker_hvdsm_args"
MAX_VALUE = 2500


def script_arguments(hyperparameters: Mapping[str, Any]) -> List[str]:
    """``--key value`` for each hyperparameter, keys sorted; a one-letter key has one dash.

    Exactly one value each: ``None`` is the empty string, a list its Python form, a dict ``k=v,k2=v2`` with sorted keys,
    everything else ``str()``.
    """
    words: List[str] = []
    for key in sorted(hyperparameters):
        words += ["-" + key if len(key) == 1 else "--" + key if key else "", _value(hyperparameters[key])]
    return words


def _value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return ",".join(f"{k}={v}" for k, v in sorted(value.items()))
    return str(value)


def program_command(python: str, program: str, arguments: Sequence[str]) -> List[str]:
    """The command of an entry point, run in the code directory.

    A ``.py`` is run by the Python that runs hvdsm.  Anything else is called by a shell, which is then replaced by it: so the
    first line of a script (``#!/bin/bash``) names who runs it, and one without such a line is the shell's own.
    """
    if program.endswith(".py"):
        return [python, program, *arguments]
    return ["/bin/sh", "-c", 'exec "$0" "$@"', "./" + program, *arguments]


def shielded(word: str) -> str:
    """A word that mpirun leaves as it is: a colon alone would begin another program, wherever it stands.

    >>> [shielded(word) for word in (":", "%:", "a:b", "%")]
    ['%:', '%%:', 'a:b', '%']
    """
    return f"%{word}" if word.endswith(":") and not word[:-1].strip("%") else word


def unshielded(word: str) -> str:
    """The word of which :func:`shielded` has made this one.

    >>> [unshielded(shielded(word)) for word in (":", "%:", "a:b", "%", "")]
    [':', '%:', 'a:b', '%', '']
    """
    return word[1:] if word.startswith("%") and word.endswith(":") and not word[:-1].strip("%") else word


def pack_arguments(arguments: Sequence[str]) -> Dict[str, str]:
    """Verbatim script arguments as hyperparameters: a JSON list, cut into pieces of at most 2,500 characters.

    The pieces are named ``sagemaker_hvdsm_args``, ``sagemaker_hvdsm_args_1``, … and joined again in that order.
    """
    if not arguments:
        return {}
    text = json.dumps(list(arguments))
    pieces = [text[i : i + MAX_VALUE] for i in range(0, len(text), MAX_VALUE)]
    return {ARGS_KEY if i == 0 else f"{ARGS_KEY}_{i}": piece for i, piece in enumerate(pieces)}


def is_packed_key(key: str) -> bool:
    """Whether a hyperparameter's name is one of :func:`pack_arguments`."""
    return key == ARGS_KEY or (key.startswith(ARGS_KEY + "_") and key[len(ARGS_KEY) + 1 :].isdigit())


def unpack_arguments(hyperparameters: Mapping[str, str]) -> Tuple[str, ...]:
    """The arguments that :func:`pack_arguments` packed.

    Args:
        hyperparameters: the raw strings of ``hyperparameters.json``.

    Raises:
        ValueError: a piece is missing, or the pieces do not join to a JSON list of strings.
    """
    if ARGS_KEY not in hyperparameters:
        if any(is_packed_key(key) for key in hyperparameters):
            raise ValueError(f"{ARGS_KEY} is missing")
        return ()
    pieces = [hyperparameters[ARGS_KEY]]
    while f"{ARGS_KEY}_{len(pieces)}" in hyperparameters:
        pieces.append(hyperparameters[f"{ARGS_KEY}_{len(pieces)}"])
    count = sum(1 for key in hyperparameters if is_packed_key(key))
    if count != len(pieces):
        raise ValueError(f"{ARGS_KEY}_{len(pieces)} is missing")
    arguments = json.loads("".join(pieces))
    if not isinstance(arguments, list) or not all(isinstance(a, str) for a in arguments):
        raise ValueError(f"{ARGS_KEY} must be a JSON list of strings")
    return tuple(arguments)
