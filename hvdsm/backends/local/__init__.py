"""The local back end: executes a CreateTrainingJob request on hosts of this machine.

Where things happen: ``plan`` checks the request against files and machine; ``stage`` lays out ``/opt/ml`` of each host and names
the mounts; ``backend`` starts the hosts; ``run`` is the job's life; ``stream`` its output; ``result`` what is kept of it.
"""

from __future__ import annotations

from hvdsm.backends.local.backend import LocalBackend, LocalJob
from hvdsm.backends.local.plan import HOST_MODES, LocalOptions, LocalPlan

__all__ = ["HOST_MODES", "LocalBackend", "LocalJob", "LocalOptions", "LocalPlan"]
