"""Takes a job over from ``sm_train.sh`` of the SageMaker SDK 3, which ``ModelTrainer`` has every host run."""

from __future__ import annotations

import json
import os
from functools import partial
from typing import Any, Dict

from hvdsm.compose.environment import Paths
from hvdsm.compose.model_trainer import arguments_of, reserved_of, settings_of, unquoted
from hvdsm.container.config import read_hyperparameters
from hvdsm.container.handover import Handover
from hvdsm.container.train import take_part
from hvdsm.errors import ConfigError

# Channel of the source.
CODE = "code"


def main(directory: str, kind: str) -> int:
    """Run this host's part of the job; returns the job's exit code.

    Args:
        directory: the SDK's channel ``sm_drivers``.
        kind: ``mpi`` or ``torch_distributed``.
    """
    return take_part(partial(handover_of, directory, kind))


def handover_of(directory: str, kind: str, paths: Paths) -> Handover:
    """What the SDK's files say.

    The files are read and not the ``SM_*`` variables that are made of them, since these lose single quotes.

    Raises:
        ConfigError: a file cannot be read.
    """
    config = unquoted(_load(os.path.join(directory, "distributed.json")))
    source_code = _load(os.path.join(directory, "sourcecode.json"))
    words = arguments_of(read_hyperparameters(paths)) + list(config.get("arguments") or ())
    reserved = reserved_of(kind, config, str(source_code.get("entry_script") or ""))
    return Handover(paths.channel(CODE), reserved, tuple(words), settings_of(config))


def _load(path: str) -> Dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
    except (OSError, ValueError) as error:
        raise ConfigError(str(error), where=path, remedy="start the job by ModelTrainer.train() of the SageMaker SDK 3") from None
    if not isinstance(document, dict):
        raise ConfigError("must hold a JSON object", where=path)
    return document
