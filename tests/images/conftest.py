"""The engine that runs containers, and the digits that the examples train on."""

from __future__ import annotations

from pathlib import Path

import pytest
from images_support import Engine, find_engine


@pytest.fixture(scope="session")
def engine() -> Engine:
    return find_engine()


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A channel with handwritten digits: the images do not have scikit-learn, whose digits the examples fall back to."""
    import numpy as np
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("digits")
    found = load_digits()
    for name, part in (("train", slice(0, 1400)), ("test", slice(1400, None))):
        np.savez(folder / f"{name}.npz", data=found.images[part].astype(np.float32), labels=found.target[part].astype(np.int64))
    return folder
