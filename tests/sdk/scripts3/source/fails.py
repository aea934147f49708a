"""Fails in the way that its hyperparameter says."""

import argparse
import ctypes
import os
import sys
import time

parser = argparse.ArgumentParser()
parser.add_argument("--how", required=True)
how = parser.parse_args().how
with open("/opt/ml/model/early.txt", "w") as file:
    file.write("of the first epoch")
print("about to fail:", how, flush=True)
if how == "raise":
    raise RuntimeError("the loss is [not] a 'number'")
if how == "exit":
    sys.exit(3)
if how == "module":
    import there_is_no_such_module  # noqa: F401
if how == "segfault":
    ctypes.string_at(0)
if how == "own":
    with open("/opt/ml/output/failure", "w") as file:
        file.write("the data has no column label")
    sys.exit(1)
if how == "one host" and os.environ["SM_CURRENT_HOST"] == "algo-2":
    raise ValueError("only here")
time.sleep(600)
