"""What ``hvdsm sandbox`` puts on ``PYTHONPATH`` of its programs; standard library only, since they need not have hvdsm.

``sitecustomize`` is what Python imports when it starts; ``hvdsm_redirect`` has what it does.
"""

from __future__ import annotations

import os

DIRECTORY = os.path.dirname(os.path.abspath(__file__))
