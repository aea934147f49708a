"""FinalMetricDataList of a job: the last value of each of its MetricDefinitions in the log lines."""

from __future__ import annotations

import threading
import time

from hvdsm.errors import HvdsmError
from hvdsm.sandbox.jobs import TrainingJob


def watch_metrics(job: TrainingJob) -> None:
    """Look for the job's metrics in all lines that it logs from now on."""
    definitions = (job.request.get("AlgorithmSpecification") or {}).get("MetricDefinitions")
    if not definitions:
        return
    from hvdsm.compose.metrics import compile_metrics

    try:
        metrics = compile_metrics(definitions)
    except HvdsmError:
        # A pattern that cannot be compiled finds nothing, here as in the service.
        return
    lock = threading.Lock()

    def look(_host: str, line: str) -> None:
        with lock:
            metrics.feed(line.encode("utf-8", "surrogatepass"))
            now = round(time.time(), 3)
            job.metrics = [
                {"MetricName": name, "Value": float(values["last"]), "Timestamp": now}
                for name, values in metrics.summary().items()
                if values.get("count", 0)
            ]

    job.on_line = look
