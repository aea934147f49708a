"""A notebook's steps with the SageMaker SDK 2: prepare the data, train on this machine, in SageMaker, with options, in a VPC.

Steps are chosen on the command line (``notebook.py prepare local cloud``, or ``all``), and run in the order of their list.
In a notebook, ``%run -n notebook.py`` makes them functions: see mnist.ipynb.  Each step prints where its model is.
"""

from __future__ import annotations

import argparse
import ast
import os
import sys
from typing import Any, Dict, List, Optional, Sequence, Tuple

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)  # a notebook's own directory may be another
import prepare as preparation  # noqa: E402


def options(words: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Train a digit classifier with the SageMaker SDK 2.", allow_abbrev=False)
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"{', '.join(STEPS)}, or all")
    parser.add_argument(
        "--role", default=os.environ.get("SAGEMAKER_ROLE"), help="ARN; default: $SAGEMAKER_ROLE, else the notebook's"
    )
    parser.add_argument("--bucket", help="for the data; default: the SDK's own for this account and region")
    parser.add_argument("--data", metavar="DIR", help="what prepare.py --local DIR has made, in place of a download of MNIST")
    parser.add_argument("--instance-count", type=int, default=2, metavar="N", help="hosts (%(default)s)")
    parser.add_argument("--instance-type", default="ml.c4.xlarge", metavar="TYPE", help="in SageMaker (%(default)s)")
    parser.add_argument("--local-type", choices=("local", "local_gpu"), default="local", help="of the step local (%(default)s)")
    parser.add_argument("--processes-per-host", type=int, default=2, metavar="P", help="of the step multi (%(default)s)")
    parser.add_argument("--mpi-options", default="-verbose --NCCL_DEBUG=INFO", help="of the step options (%(default)s)")
    parser.add_argument("--framework-version", default="2.12", help="of the TensorFlow image (%(default)s)")
    parser.add_argument("--py-version", default="py310", help="of that image (%(default)s)")
    parser.add_argument("--image-uri", help="an image of one's own in its place")
    parser.add_argument("--hp", action="append", default=[], metavar="NAME=VALUE", help="an option of train.py; repeatable")
    parser.add_argument("--subnets", metavar="IDS", help="of the step vpc, with commas between them")
    parser.add_argument("--security-group-ids", metavar="IDS", help="of the step vpc")
    parser.add_argument("--vpc-stack", metavar="NAME", help="CloudFormation stack whose outputs name both")
    given = parser.parse_args(words)
    unknown = [step for step in given.steps if step not in (*STEPS, "all")]
    if unknown:
        parser.error(f"no such step: {', '.join(unknown)}; the steps are {', '.join(STEPS)}, and all")
    given.hyperparameters = {}
    for text in given.hp:
        name, equals, value = text.partition("=")
        if not equals:
            parser.error(f"--hp {text}: NAME=VALUE is expected")
        given.hyperparameters[name] = literal(value)
    return given


def literal(text: str) -> Any:
    """A number or truth value as such, anything else as text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def prepare(given: argparse.Namespace) -> None:
    """Make train.npz and test.npz and upload them; nothing is left here."""
    preparation.main(["--bucket", bucket(given), *(["--from", given.data] if given.data else [])])


def local(given: argparse.Namespace) -> Any:
    """Train on this machine: the SDK's local mode."""
    return train(given, "hvd-mnist-local", given.local_type, mpi())


def cloud(given: argparse.Namespace) -> Any:
    """Train in SageMaker: one process per host, or one per GPU."""
    return train(given, "hvd-mnist", given.instance_type, mpi())


def with_options(given: argparse.Namespace) -> Any:
    """Train with options for mpirun."""
    return train(given, "hvd-mnist", given.instance_type, mpi(custom_mpi_options=given.mpi_options))


def multi(given: argparse.Namespace) -> Any:
    """Train with several processes per host."""
    return train(given, "hvd-mnist-multi-cpu", given.instance_type, mpi(processes_per_host=given.processes_per_host))


def vpc(given: argparse.Namespace) -> Any:
    """Train in a VPC."""
    subnets, groups = vpc_of(given)
    several = mpi(processes_per_host=given.processes_per_host)
    return train(given, "hvd-mnist-vpc", given.instance_type, several, subnets=subnets, security_group_ids=groups)


STEPS = {"prepare": prepare, "local": local, "cloud": cloud, "options": with_options, "multi": multi, "vpc": vpc}


def mpi(**settings: Any) -> Dict[str, Any]:
    """The estimator's distribution; where hvdsm is installed, it is checked for what the SDK would let pass."""
    try:
        from hvdsm.sdk.v2 import distribution
    except ImportError:
        return {"mpi": {"enabled": True, **settings}}
    return dict(distribution(**settings))


def train(given: argparse.Namespace, name: str, instance_type: str, distribution: Dict[str, Any], **network: Any) -> Any:
    """Run train.py as a training job to its end; returns the estimator."""
    from sagemaker.tensorflow import TensorFlow

    image = {"image_uri": given.image_uri} if given.image_uri else {"framework_version": given.framework_version}
    estimator = TensorFlow(
        entry_point=os.path.join(HERE, "train.py"),
        role=role(given),
        instance_count=given.instance_count,
        instance_type=instance_type,
        py_version=given.py_version,
        distribution=distribution,
        hyperparameters=dict(given.hyperparameters),
        base_job_name=name,
        **image,
        **network,
    )
    at = f"s3://{bucket(given)}/mnist"
    estimator.fit({"train": f"{at}/train.npz", "test": f"{at}/test.npz"})
    print(f"{name}: model at {estimator.model_data}", flush=True)
    return estimator


def role(given: argparse.Namespace) -> str:
    """The role that jobs take on."""
    if given.role:
        return str(given.role)
    from sagemaker import get_execution_role

    try:
        return str(get_execution_role())
    except ValueError as error:
        raise SystemExit(f"notebook.py: no role: {error}; give --role ARN or set SAGEMAKER_ROLE") from error


def bucket(given: argparse.Namespace) -> str:
    """The bucket that the data are in."""
    return given.bucket or preparation.default_bucket()


def vpc_of(given: argparse.Namespace) -> Tuple[List[str], List[str]]:
    """Subnets and security groups: those of the command line, or of the stack's outputs ``Subnet1Id``, …, ``SecurityGroupId``."""
    if given.subnets and given.security_group_ids:
        return given.subnets.split(","), given.security_group_ids.split(",")
    if not given.vpc_stack:
        raise SystemExit("notebook.py: the step vpc needs --subnets and --security-group-ids, or --vpc-stack")
    import boto3

    stack = boto3.client("cloudformation").describe_stacks(StackName=given.vpc_stack)["Stacks"][0]
    found = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    subnets = [found[name] for name in sorted(found) if name.startswith("Subnet") and name.endswith("Id")]
    if not subnets or "SecurityGroupId" not in found:
        raise SystemExit(f"notebook.py: stack {given.vpc_stack} has no outputs Subnet1Id and SecurityGroupId: {sorted(found)}")
    return subnets, [found["SecurityGroupId"]]


def main(words: Optional[Sequence[str]] = None) -> None:
    """Run the steps that were asked for, in the order of the list."""
    given = options(words)
    chosen = [step for step in STEPS if step in given.steps or "all" in given.steps]
    if not chosen:
        raise SystemExit(f"notebook.py: which steps? {', '.join(STEPS)}, or all")
    if "vpc" in chosen:
        vpc_of(given)  # told before anything is trained
    for number, step in enumerate(chosen, 1):
        print(f"==> [{number}/{len(chosen)}] {step}", flush=True)
        STEPS[step](given)


if __name__ == "__main__":
    main()
