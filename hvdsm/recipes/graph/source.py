"""The source of a graph job: hvdsm's program for its hosts, its plan, and the words that hyperparameters cannot say."""

from __future__ import annotations

import json
import os
import shutil
from typing import Sequence

from hvdsm.model.plan import JobPlan
from hvdsm.recipes.graph.jobs import SCRIPT

PACKAGE = "hvdsm_graph"
PLAN_FILE = "plan.json"
WORDS_FILE = "graph.json"
_TEXT = f"""\
import sys

from {PACKAGE}.program import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""


def write_source(directory: str, action: str, plan: JobPlan, rest: Sequence[str]) -> str:
    """Write the source into a directory, as ``graph/``; the path of its script.

    Args:
        directory: where.
        action: ``train``, ``infer`` or ``partition``.
        plan: the job's plan; it is in PLAN_FILE beside the script.
        rest: words for GraphStorm that are no hyperparameters.

    Raises:
        OSError: it cannot be written.
    """
    import hvdsm.graphjob

    here = os.path.dirname(os.path.abspath(hvdsm.graphjob.__file__))
    directory = os.path.join(directory, "graph")
    package = os.path.join(directory, PACKAGE)
    os.makedirs(package)
    for name in sorted(os.listdir(here)):
        # What partitions is called where hvdsm is installed.
        if name.endswith(".py") and not name.startswith("partition"):
            shutil.copyfile(os.path.join(here, name), os.path.join(package, name))
    texts = {
        SCRIPT: _TEXT,
        PLAN_FILE: json.dumps(plan.to_dict(), indent=2) + "\n",
        WORDS_FILE: json.dumps({"action": action, "words": list(rest)}) + "\n",
    }
    for name, text in texts.items():
        with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
            file.write(text)
    return os.path.join(directory, SCRIPT)
