"""The values that a job's MetricDefinitions find in its log: FinalMetricDataList, and CloudWatch's /aws/sagemaker/TrainingJobs.

Source: the SageMaker API reference, "MetricDefinition", and the developer guide, "Monitor training job metrics".
"""

from __future__ import annotations

import re
import threading
import time
from typing import Any, Dict, Iterable, List, Optional, Pattern

from hvdsm.errors import HvdsmError
from hvdsm.sandbox.jobs import TrainingJob
from hvdsm.sandbox.objects import Handle, own_client

NAMESPACE = "/aws/sagemaker/TrainingJobs"
DIMENSION = "TrainingJobName"
# The name by which requests of CloudWatch are signed.
CLOUDWATCH = "monitoring"
# Seconds that an expression may take on a line; the simplest ones take a microsecond.
PATIENCE = 0.5
# What PutMetricData takes at once.
_MOST = 500


def watch_metrics(job: TrainingJob) -> None:
    """Look for the job's metrics in all lines that it logs from now on."""
    definitions = (job.request.get("AlgorithmSpecification") or {}).get("MetricDefinitions")
    if not definitions:
        return
    from hvdsm.compose.metrics import compile_metrics

    try:
        metrics = compile_metrics(definitions, _Impatient())
    except HvdsmError:
        # A pattern that cannot be compiled finds nothing, here as in the service.
        return
    lock = threading.Lock()
    found: Dict[str, Dict[str, Any]] = {}
    counts = {metric.name: 0 for metric in metrics.metrics}

    def look(_host: str, line: str) -> None:
        with lock:
            metrics.feed(line.encode("utf-8", "surrogatepass"))
            for metric in metrics.metrics:
                if metric.count == counts[metric.name]:
                    continue
                counts[metric.name] = metric.count
                now = round(time.time(), 3)
                found[metric.name] = {"MetricName": metric.name, "Value": metric.last, "Timestamp": now}
                job.metrics = list(found.values())
                with job.changed:
                    _add(job.points.setdefault((metric.name, int(now)), []), metric.last)

    job.on_line = look


class _Impatient:
    """Searches with a limit of time: Python's own matcher could neither be interrupted nor let anything else run meanwhile."""

    def __init__(self) -> None:
        self._limited: Dict[str, Any] = {}

    def __call__(self, pattern: Pattern[str], text: str) -> Optional[re.Match[str]]:
        """``pattern.search(text)``, or TimeoutError."""
        import regex

        if pattern.pattern not in self._limited:
            try:
                self._limited[pattern.pattern] = regex.compile(pattern.pattern)
            except regex.error:
                self._limited[pattern.pattern] = None
        limited = self._limited[pattern.pattern]
        found: Optional[re.Match[str]] = pattern.search(text) if limited is None else limited.search(text, timeout=PATIENCE)
        return found


def _add(sums: List[float], value: float) -> None:
    """Count a value into ``[number, sum, least, most]``."""
    if sums:
        sums[:] = [sums[0] + 1, sums[1] + value, min(sums[2], value), max(sums[3], value)]
    else:
        sums[:] = [1.0, value, value, value]


def publish(jobs: Iterable[TrainingJob], handle: Handle, region: str) -> None:
    """Give CloudWatch what was found since the last time: one entry for each metric and second.

    Args:
        jobs: the jobs of a region.
        handle: answers requests of CloudWatch.
        region: the region.
    """
    client: Any = None
    for job in jobs:
        with job.changed:
            points, job.points = job.points, {}
        entries = [
            {
                "MetricName": name,
                "Dimensions": [{"Name": DIMENSION, "Value": job.name}],
                "Timestamp": second,
                "StatisticValues": dict(zip(("SampleCount", "Sum", "Minimum", "Maximum"), sums)),
            }
            for (name, second), sums in points.items()
        ]
        for begin in range(0, len(entries), _MOST):
            client = client or own_client("cloudwatch", handle, region)
            client.put_metric_data(Namespace=NAMESPACE, MetricData=entries[begin : begin + _MOST])
