"""Write a small real data set in CIFAR-10's file format: the 1,797 scanned digits that come with scikit-learn.

    python examples/lightning_cifar/make_digits.py DIR

writes ``DIR/cifar-10-python.tar.gz`` with five training batches (1,437 images), a test batch (360) and ten classes.  Each image
of 8 x 8 grey values becomes one of 32 x 32 pixels in three equal channels.  The same packages make the same bytes.
"""

from __future__ import annotations

import argparse
import gzip
import io
import os
import pickle
import tarfile
from typing import Any, Dict

import numpy as np
from sklearn.datasets import load_digits

ARCHIVE = "cifar-10-python.tar.gz"
DIRECTORY = "cifar-10-batches-py"
TEST = 360


def batches() -> Dict[str, Any]:
    """The files of the data set by name."""
    digits = load_digits()
    grey = np.kron(digits.images, np.ones((4, 4))) * 15  # values from 0 to 16 become 0 to 240
    pixels = np.repeat(grey.astype(np.uint8)[:, None], 3, axis=1).reshape(len(grey), -1)
    order = np.random.RandomState(0).permutation(len(pixels))
    parts = {"test_batch": order[:TEST]}
    parts.update({f"data_batch_{number}": part for number, part in enumerate(np.array_split(order[TEST:], 5), 1)})
    found: Dict[str, Any] = {
        name: {
            b"batch_label": name.encode(),
            b"labels": [int(label) for label in digits.target[part]],
            b"data": np.ascontiguousarray(pixels[part]),
            b"filenames": [b"digit_%04d.png" % number for number in part],
        }
        for name, part in parts.items()
    }
    found["batches.meta"] = {b"num_cases_per_batch": 288, b"label_names": [b"%d" % n for n in range(10)], b"num_vis": 3072}
    return found


def write(directory: str) -> str:
    """Write the archive into ``directory``; returns its path."""
    os.makedirs(directory, exist_ok=True)
    path = os.path.join(directory, ARCHIVE)
    with open(path, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed, tarfile.open(
        fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT
    ) as tar:
        for name, content in sorted(batches().items()):
            data = pickle.dumps(content, protocol=2)
            member = tarfile.TarInfo(f"{DIRECTORY}/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Write scikit-learn's digits in CIFAR-10's file format.")
    parser.add_argument("directory", metavar="DIR", help=f"gets {ARCHIVE}")
    print(write(parser.parse_args().directory))


if __name__ == "__main__":
    main()
