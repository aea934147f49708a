"""An estimator of the SDK 2 for an image of one's own that sends all that it is given."""

from __future__ import annotations

import inspect
import json
from typing import Any, Dict, List, Mapping, Optional

from hvdsm.compose.cloud import BUNDLE_ENTRYPOINT
from hvdsm.compose.problems import suggestion
from hvdsm.container.reserved import distribution as container_distribution
from hvdsm.errors import BackendUnavailable, UsageError
from hvdsm.sdk.v2.arguments import translated
from hvdsm.sdk.v2.distribution import GROUPS, SMD, TORCH, checked, group_name
from hvdsm.sdk.v2.encoding import INSTANCE_TYPE, encoded, json_text
from hvdsm.sdk.v2.hyperparameters import check_name, encoded_values
from hvdsm.sdk.v2.program import with_program_channel
from hvdsm.sdk.v2.restored import restored

try:
    from sagemaker.estimator import Estimator as SdkEstimator
    from sagemaker.estimator import EstimatorBase
except ImportError as error:
    raise BackendUnavailable(
        f"the SageMaker Python SDK 2 is not installed here ({error})",
        where="hvdsm.sdk.v2.Estimator",
        remedy="pip install 'sagemaker<3'; with SDK 3 use hvdsm.sdk.v3",
    ) from None

# What the framework estimators take and an image of one's own settles.
_OF_FRAMEWORKS = ("framework_version", "py_version", "model_dir", "compiler_config", "transformers_version", "pytorch_version")


class Estimator(SdkEstimator):  # type: ignore[misc]
    """The SDK's ``Estimator`` for any image, with a ``distribution`` that arrives.

    The SDK's own drops ``distribution`` and every argument that it does not know, and sends hyperparameters unencoded without a
    ``source_dir``.  This one sends the distribution as the framework estimators do, encodes every hyperparameter as JSON (so
    that nested values and quotes arrive), and refuses what it does not know.

    Args:
        image_uri: TrainingImage.
        role: RoleArn, or a role's name.
        instance_count: number of hosts, unless ``instance_groups`` are given.
        instance_type: type of every host.
        distribution: see :func:`hvdsm.sdk.v2.distribution`; besides, several ``instance_groups`` and their names will do, and
            ``torch_distributed`` has ``processes_per_host``.
        hyperparameters: whatever JSON can express, see :func:`hvdsm.sdk.v2.hyperparameters`.
        bring_hvdsm: whether hvdsm's container program is shipped as the channel ``hvdsm`` and started in the image, which needs
            no more than Python 3.8, sshd and Open MPI then.  By default True for a job with an ``entry_point`` and without a
            ``container_entry_point``.  False leaves all to the program that the image starts.
        **more: every other argument of ``sagemaker.estimator.Estimator``, also by its name in the SDK 1.

    Raises:
        UsageError: an argument is not known or has two values, or arguments contradict each other.
        ConfigError: JSON cannot express a hyperparameter, or the container program cannot start ranks this way.
    """

    # Tells hvdsm.sdk.v2.check that all of it is sent.
    keeps_distribution = True

    def __init__(
        self,
        image_uri: Optional[str] = None,
        role: Optional[str] = None,
        instance_count: Optional[int] = None,
        instance_type: Optional[str] = None,
        *,
        distribution: Optional[Mapping[str, Any]] = None,
        hyperparameters: Optional[Mapping[str, Any]] = None,
        bring_hvdsm: Optional[bool] = None,
        **more: Any,
    ) -> None:
        named = {
            "image_uri": image_uri,
            "role": role,
            "instance_count": instance_count,
            "instance_type": instance_type,
            "distribution": distribution,
        }
        given = {**{name: value for name, value in named.items() if value is not None}, **more}
        found = translated(given, own=True, stacklevel=3)
        asked = found.pop("distribution", None)
        _refuse_unknown(found)
        if not found.get("image_uri"):
            raise UsageError("is missing", where="image_uri", remedy='image_uri="ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME:TAG"')
        self.bring_hvdsm = _brings(bring_hvdsm, found)
        if self.bring_hvdsm:
            found["container_entry_point"] = list(BUNDLE_ENTRYPOINT)
        self._distribution = _complete(asked, found.get("instance_groups"), self.bring_hvdsm, stacklevel=3)
        values = encoded_values(hyperparameters or {})
        super().__init__(**found)
        self._hyperparameters.update(values)

    @property
    def distribution(self) -> Dict[str, Any]:
        """The distribution, checked; instance groups by their names."""
        return self._distribution

    @distribution.setter
    def distribution(self, config: Optional[Mapping[str, Any]]) -> None:
        self._distribution = _complete(config, self.instance_groups, self.bring_hvdsm, stacklevel=3)

    def set_hyperparameters(self, **values: Any) -> None:
        """Set hyperparameters; each value is encoded as JSON, with a ``source_dir`` or without.

        Raises:
            UsageError: a name would be lost or misread.
            ConfigError: JSON cannot express a value.
        """
        self._hyperparameters.update(encoded_values(values))

    def hyperparameters(self) -> Dict[str, Any]:
        """All hyperparameters of the request: the script's, the estimator's own, and those of the distribution."""
        values = {**self._hyperparameters, **encoded(self._distribution)}
        if {TORCH, SMD} & set(self._distribution) and self.instance_type is not None:
            values[INSTANCE_TYPE] = json_text(INSTANCE_TYPE, self.instance_type)
        return values

    def inputs(self, inputs: Any = None) -> Any:
        """What ``fit`` sends for these inputs: with ``bring_hvdsm`` they have the channel ``hvdsm``, too.

        ``fit`` calls it.  A ``HyperparameterTuner``, which does not call ``fit``, gets ``tuner.fit(estimator.inputs({…}))``.

        Raises:
            UsageError: the inputs have a channel of that name already.
        """
        if not self.bring_hvdsm or (isinstance(inputs, _Brought)):
            return inputs
        return _Brought(with_program_channel(self, inputs))

    def fit(
        self,
        inputs: Any = None,
        wait: bool = True,
        logs: Any = "All",
        job_name: Optional[str] = None,
        experiment_config: Optional[Dict[str, str]] = None,
    ) -> Any:
        """Train; see ``sagemaker.estimator.EstimatorBase.fit``."""
        return super().fit(
            inputs=self.inputs(inputs), wait=wait, logs=logs, job_name=job_name, experiment_config=experiment_config
        )

    @classmethod
    def _prepare_init_params_from_job_description(
        cls, job_details: Any, model_channel_name: Optional[str] = None
    ) -> Dict[str, Any]:
        """Arguments of an estimator for a job that was submitted before; ``attach`` asks for them."""
        found = super()._prepare_init_params_from_job_description(job_details, model_channel_name)
        return restored(found)


class _Brought(Dict[str, Any]):
    """Inputs that have the container program."""


def _complete(asked: Any, groups: Any, brings: bool, stacklevel: int) -> Dict[str, Any]:
    """A distribution after all checks, with names for groups."""
    if asked is None:
        return {}
    config = _named(checked(asked, own=True, stacklevel=stacklevel + 1), groups)
    model = (config.get(SMD) or {}).get("modelparallel") or {}
    if isinstance(model.get("parameters"), str):
        where = 'distribution["smdistributed"]["modelparallel"]["parameters"]'
        raise UsageError("must be a dict here, not the name of a file", where=where, remedy="json.load(open(FILE))")
    if brings:
        container_distribution({key: _plain(value) for key, value in encoded(config).items()})
    return config


def _named(config: Dict[str, Any], groups: Any) -> Dict[str, Any]:
    """The distribution with names for groups, which have to be groups of the estimator."""
    if GROUPS not in config:
        return config
    known = [group_name(group) for group in groups or ()]
    names: List[str] = [group_name(group) for group in config[GROUPS]]
    for name in names:
        if name not in known:
            raise UsageError(
                f"the estimator has no instance group {name}",
                where='distribution["instance_groups"]',
                remedy=f"name one of these: {', '.join(known)}"
                if known
                else f"instance_groups=[InstanceGroup({name!r}, TYPE, COUNT)]",
            )
    return {**config, GROUPS: names}


def _refuse_unknown(found: Mapping[str, Any]) -> None:
    known = {
        name
        for kind in (SdkEstimator, EstimatorBase)
        for name, parameter in inspect.signature(kind.__init__).parameters.items()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD and name != "self"
    }
    known |= {"distribution", "bring_hvdsm"}
    for name in found:
        if name in known:
            continue
        if name in _OF_FRAMEWORKS:
            raise UsageError(
                "the image settles it", where=name, remedy="leave it out, or use the SDK's estimator of the framework"
            )
        try:
            check_name("sagemaker_hvdsm_" + name)
        except UsageError:
            pass
        else:
            raise UsageError("is a hyperparameter", where=name, remedy=f"hyperparameters=hyperparameters({{…}}, {name}=…)")
        raise UsageError(
            f"the SDK's Estimator has no such argument, and would drop it silently{suggestion(name, known)}",
            where=name,
            remedy="check the name, or leave it out",
        )


def _brings(asked: Optional[bool], found: Mapping[str, Any]) -> bool:
    own = found.get("container_entry_point")
    if asked and own:
        raise UsageError(
            "is the container program's with bring_hvdsm=True", where="container_entry_point", remedy="leave one of the two out"
        )
    if asked and not found.get("entry_point"):
        raise UsageError(
            "is missing: hvdsm's container program runs a script",
            where="entry_point",
            remedy='entry_point="train.py", or bring_hvdsm=False',
        )
    if asked is None:
        return bool(found.get("entry_point")) and not own
    return bool(asked)


def _plain(value: Any) -> Any:
    try:
        return json.loads(value)
    except (TypeError, ValueError):
        # A variable of a pipeline: a number stands for it.
        return None
