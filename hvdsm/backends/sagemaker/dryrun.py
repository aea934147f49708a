"""What a launch in SageMaker would upload and send, as text or JSON; nothing is uploaded or created."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Tuple

from hvdsm.backends.sagemaker.attach import price_lines
from hvdsm.backends.sagemaker.backend import SageMakerBackend
from hvdsm.backends.sagemaker.plan import SageMakerOptions
from hvdsm.backends.sagemaker.zones import Choice
from hvdsm.compose.mask import mask_request


@dataclass(frozen=True)
class CloudDryRun:
    """What would be uploaded (from, to) and sent; secrets are masked.  ``choice`` is the subnet of several that was chosen."""

    job_name: str
    region: str
    uploads: Tuple[Tuple[str, str, str], ...]
    request: Mapping[str, Any]
    notes: Tuple[str, ...]
    choice: Optional[Choice] = None

    def as_json(self) -> Dict[str, Any]:
        """For machines."""
        chosen: Dict[str, Any] = {}
        if self.choice is not None:
            chosen["subnet"] = self.choice.place.as_json()
            chosen["further_subnets"] = [place.as_json() for place in self.choice.further]
        return {
            "job_name": self.job_name,
            "mode": "sagemaker",
            "region": self.region,
            "uploads": [{"what": what, "from": path, "to": uri} for what, path, uri in self.uploads],
            **chosen,
            "request": dict(self.request),
            "notes": list(self.notes),
        }

    def as_text(self) -> str:
        """For people."""
        uploads = "".join(f"{what}: {path + ' -> ' if path else ''}{uri}\n" for what, path, uri in self.uploads)
        parts = (
            (f"job {self.job_name}, SageMaker in {self.region}", "".join(f"{note}\n" for note in self.notes)),
            ("uploads", uploads or "(nothing)\n"),
            ("request", json.dumps(self.request, indent=2) + "\n"),
        )
        return "\n".join(f"# {title}\n{text}" for title, text in parts)


def dry_run(request: Mapping[str, Any], options: SageMakerOptions, environ: Optional[Mapping[str, str]] = None) -> CloudDryRun:
    """What a launch of this request would upload and send.

    Raises:
        UsageError: something that the service needs is not given.
        ConfigError: the request, or a file that it names, is wrong.
    """
    backend = SageMakerBackend(options, environ)
    plan = backend.plan(request, offline=True)
    prices = price_lines(backend, plan) if options.prices else []
    return CloudDryRun(
        job_name=plan.job_name,
        region=plan.region,
        uploads=tuple((upload.title, upload.path, upload.uri) for upload in plan.uploads),
        request=mask_request(plan.request),
        notes=(*plan.notes, *prices, *(f"warning: {text}" for text in plan.warnings)),
        choice=plan.choice,
    )
