r"""Train GC-MC on SageMaker by the SageMaker Python SDK 2.

    python run_sagemaker.py --role=ARN                                     # one host with a GPU; the job downloads ml-1m
    python run_sagemaker.py --role=ARN --instance_type=ml.c5.2xlarge --instance_count=2 --input_path=s3://BUCKET/ml-100k \
        --hyperparams data_name=ml-100k

Nothing of hvdsm is imported.  ``hvdsm sandbox -- python run_sagemaker.py ...`` runs it without Docker and without an AWS account.
"""

from __future__ import annotations

import argparse
import os
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

HERE = os.path.dirname(os.path.abspath(__file__))
IMAGE = "sagemaker-dgl-gcmc:latest"
TAGS = [{"Key": "ML Task", "Value": "DGL"}]
HYPERPARAMS = {"data_name": "ml-1m", "save_dir": "/opt/ml/model/"}


def pair(text: str) -> Tuple[str, str]:
    """``KEY=VALUE``; the value may contain further equals signs."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key.lstrip("-"), value


def parse_args(words: Optional[Sequence[str]], environ: Mapping[str, str]) -> argparse.Namespace:
    """Read the command line; SAGEMAKER_ROLE of the environment is a default."""
    parser = argparse.ArgumentParser(
        description="Train GC-MC on SageMaker.", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--role", default=environ.get("SAGEMAKER_ROLE"), help="execution role; also $SAGEMAKER_ROLE")
    add("--image_uri", help=f"training image ({IMAGE} of the account's own registry)")
    add("--bucket", help="for code and results (the SDK's default bucket)")
    add("--instance_type", default="ml.p3.2xlarge", help="of each host")
    add("--instance_count", type=int, default=1, help="number of hosts; the job is parallel by Horovod on two or more")
    add("--processes_per_host", type=int, default=1, help="processes on each host")
    add("--input_path", help="s3:// with the files or the archive of the data set (the job downloads it)")
    add("--job_name", help="name of the job (made of the image's name and the time)")
    add("--hyperparams", type=pair, nargs="*", action="extend", default=[], metavar="KEY=VALUE", help="for train.py")
    args = parser.parse_args(words)
    if not args.role:
        parser.error("--role: a job needs an execution role; give it, or set SAGEMAKER_ROLE")
    return args


def estimator_arguments(args: argparse.Namespace, bucket: str, image: str) -> Dict[str, Any]:
    """Arguments of ``sagemaker.pytorch.PyTorch``, without the session."""
    made: Dict[str, Any] = {
        "entry_point": "train.py",
        "source_dir": os.path.join(HERE, "app"),
        "role": args.role,
        "instance_count": args.instance_count,
        "instance_type": args.instance_type,
        "image_uri": args.image_uri or image,
        "hyperparameters": {**HYPERPARAMS, **dict(args.hyperparams)},
        "tags": TAGS,
        "output_path": f"s3://{bucket}/artifacts",
        "code_location": f"s3://{bucket}/customcode",
        "disable_profiler": True,
        "debugger_hook_config": False,
    }
    if args.instance_count * args.processes_per_host > 1:
        made["distribution"] = {"mpi": {"enabled": True, "processes_per_host": args.processes_per_host}}
    return made


def main(words: Optional[Sequence[str]] = None) -> None:
    """Submit the job, follow its log to the end, and say where the network is."""
    args = parse_args(words, os.environ)
    import boto3

    if boto3.Session().region_name is None:
        raise SystemExit("run_sagemaker.py: no AWS region: export AWS_DEFAULT_REGION=us-east-1, or run `aws configure`")
    try:
        from sagemaker.pytorch import PyTorch
        from sagemaker.session import Session
    except ImportError as error:
        raise SystemExit(f"run_sagemaker.py: {error}: it needs the SDK 2: pip install 'sagemaker>=2.200,<3'") from error
    session = Session(default_bucket=args.bucket)
    account = session.boto_session.client("sts").get_caller_identity()["Account"]
    image = f"{account}.dkr.ecr.{session.boto_region_name}.amazonaws.com/{IMAGE}"
    estimator = PyTorch(sagemaker_session=session, **estimator_arguments(args, session.default_bucket(), image))
    estimator.fit({"train": args.input_path} if args.input_path else None, job_name=args.job_name)
    print(f"model: {estimator.model_data}")


if __name__ == "__main__":
    main()
