"""What the SDK 3 says of jobs is seen where a program has not set up logging, and else as the program has it."""

from __future__ import annotations

import importlib.util
import io
import logging
import os
from types import ModuleType
from typing import Optional

import pytest

from hvdsm.sandbox.site import DIRECTORY


@pytest.fixture(scope="module")
def heard() -> ModuleType:
    """The module, which is on no package's path."""
    spec = importlib.util.spec_from_file_location("hvdsm_heard_tested", os.path.join(DIRECTORY, "hvdsm_heard.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def parent() -> logging.Logger:
    """A logger that stands for the root, which has handlers of pytest."""
    return logging.Logger("parent", logging.WARNING)


def resources(heard: ModuleType, parent: logging.Logger, level: Optional[int] = None) -> logging.Logger:
    """The SDK's logger, changed twice, as by two imports."""
    module = ModuleType("resources")
    logger = logging.Logger("resources", logging.NOTSET if level is None else level)
    logger.parent = parent
    module.logger = logger  # type: ignore[attr-defined]
    heard.change(module)
    heard.change(module)
    return logger


def test_without_handlers_it_is_printed_once(
    heard: ModuleType, parent: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = resources(heard, parent)
    logger.info("loss %s [0]", 0.5)
    logger.debug("not this")
    logger.warning("look")
    told = capsys.readouterr()
    assert (told.out, told.err) == ("loss 0.5 [0]\n", "look\n")


def test_a_handler_of_the_program_has_it_alone(
    heard: ModuleType, parent: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = resources(heard, parent)
    stream = io.StringIO()
    parent.addHandler(logging.StreamHandler(stream))
    parent.setLevel(logging.INFO)
    logger.info("loss")
    assert (stream.getvalue(), capsys.readouterr().out) == ("loss\n", "")


def test_the_level_of_the_program_is_followed(
    heard: ModuleType, parent: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = resources(heard, parent)
    stream = io.StringIO()
    parent.addHandler(logging.StreamHandler(stream))
    parent.setLevel(logging.ERROR)
    logger.info("loss")
    logger.warning("look")
    logger.error("broken")
    assert (stream.getvalue(), capsys.readouterr().out) == ("broken\n", "")


def test_a_level_that_the_program_gave_the_logger_stays(
    heard: ModuleType, parent: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = resources(heard, parent, logging.ERROR)
    logger.info("loss")
    assert capsys.readouterr().out == ""


def test_a_module_without_a_logger_stays_as_it_is(heard: ModuleType) -> None:
    module = ModuleType("resources")
    heard.change(module)
    assert not hasattr(module, "logger")
