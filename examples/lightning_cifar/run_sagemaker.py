r"""Train on SageMaker, in its cloud or in its local mode, by the SageMaker Python SDK 2.

    python run_sagemaker.py                                      # local mode, one host with GPUs
    python run_sagemaker.py --instance_type=local --instance_count=4 --hyperparams trainer.accelerator=cpu trainer.devices=1
    python run_sagemaker.py --image_uri=URI --role=ARN --instance_type=ml.g4dn.12xlarge --instance_count=2 \
        --input_path=s3://BUCKET/datasets/cifar-10 --output_path=s3://BUCKET/output

Nothing of hvdsm is imported.  ``hvdsm sandbox -- python run_sagemaker.py ...`` runs it without Docker and without an AWS account.
The job gets hvdsm's hyperparameters directly, since the SDK's Estimator for an image of one's own drops ``distribution``.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

HERE = os.path.dirname(os.path.abspath(__file__))
DUMMY_ROLE = "arn:aws:iam::000000000000:role/dummy"
CHECKPOINTS = "/opt/ml/checkpoints"
DEFAULT_HYPERPARAMS = {
    "data": "CIFAR10DataModule",
    "data.batch_size": "32",
    "optimizer": "Adam",
    "optimizer.lr": "0.001",
    "trainer.accelerator": "gpu",
    "trainer.devices": "-1",
    "trainer.max_epochs": "5",
    "logger.name": "tutorial",
}


def flag(text: str) -> bool:
    """A truth value as a word; Python takes every text but the empty one for true."""
    values = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"{text!r} is neither True nor False")
    return values[text.lower()]


def pair(text: str) -> Tuple[str, str]:
    """``KEY=VALUE``; the value may contain further equals signs."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key.lstrip("-"), value


def is_local(instance_type: str) -> bool:
    """Whether this is SageMaker's local mode."""
    return instance_type in ("local", "local_gpu")


def parse_args(words: Optional[Sequence[str]], environ: Mapping[str, str]) -> argparse.Namespace:
    """Read the command line; SAGEMAKER_ROLE and S3_PATH of the environment are defaults."""
    parser = argparse.ArgumentParser(
        description="Train on SageMaker or in its local mode.", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--job_name", help="name of the job (made of the image's name and the time)")
    add("--image_uri", default="sagemaker-tutorial", help="training image")
    add("--role", default=environ.get("SAGEMAKER_ROLE") or DUMMY_ROLE, help="execution role; also $SAGEMAKER_ROLE")
    add("--input_path", help="data, file:// or s3:// (file://.cache; for instances $S3_PATH/datasets/cifar-10)")
    add("--output_path", help="results, file:// or s3:// (file://output; for instances $S3_PATH/output)")
    add("--checkpoint_path", help="s3:// for checkpoints, from which a restarted job goes on")
    add("--instance_type", default="local_gpu", help="local, local_gpu, or one of ml.*")
    add("--instance_count", type=int, default=1, help="number of hosts")
    add("--spot_instances", type=flag, nargs="?", const=True, default=False, help="use spot capacity: True or False")
    add("--max_run", type=int, default=86400, help="limit of the training, seconds")
    add("--max_wait", type=int, default=129600, help="with --spot_instances: limit of waiting and training, seconds")
    add("--max_retry", type=int, default=5, help="tries after internal errors of the service")
    add("--volume_size", type=int, default=30, help="volume of each host, GB")
    add("--distribution", choices=("mpi", "torch_distributed", "none"), default="mpi", help="how the processes are started")
    add("--processes_per_host", type=int, help="processes on each host (trainer.devices, else its GPUs, else 1)")
    add("--source_dir", default=os.path.join(HERE, "app"), help="directory of the training script; empty: the image has it")
    add("--entry_point", default="train.py", help="training script")
    add("--hyperparams", type=pair, nargs="*", action="extend", default=[], metavar="KEY=VALUE", help="for the training script")
    args = parser.parse_args(words)
    s3 = (environ.get("S3_PATH") or "").rstrip("/")
    for name, local, remote in (("input_path", "file://.cache", "datasets/cifar-10"), ("output_path", "file://output", "output")):
        if getattr(args, name) is None:
            setattr(args, name, f"{s3}/{remote}" if s3 and not is_local(args.instance_type) else local)
    return args


def problems(args: argparse.Namespace) -> List[str]:
    """What the service or the SDK would refuse later, or silently do otherwise."""
    found = []
    local = is_local(args.instance_type)
    if args.instance_count < 1:
        found.append(f"--instance_count={args.instance_count}: it must be 1 or more")
    for name in ("input_path", "output_path", "checkpoint_path"):
        value = getattr(args, name)
        schemes = ("s3://", "file://") if local and name != "checkpoint_path" else ("s3://",)
        if value and not value.startswith(schemes):
            found.append(f"--{name}={value}: with {args.instance_type} it begins with {' or '.join(schemes)}; or set S3_PATH")
    if local and args.checkpoint_path:
        found.append("--checkpoint_path: SageMaker's local mode has no checkpoints; use an ml.* instance type")
    if local and args.spot_instances:
        found.append("--spot_instances: SageMaker's local mode has no spot capacity; use an ml.* instance type")
    if not local and args.role == DUMMY_ROLE:
        found.append("--role: a job in the cloud needs an execution role; give it, or set SAGEMAKER_ROLE")
    if args.spot_instances and args.max_wait < args.max_run:
        found.append(f"--max_wait={args.max_wait} is less than --max_run={args.max_run}: it counts the training too")
    return found


def hyperparameters(args: argparse.Namespace) -> Dict[str, Any]:
    """The script's, and those by which hvdsm starts the processes."""
    values: Dict[str, Any] = {**DEFAULT_HYPERPARAMS, **dict(args.hyperparams)}
    devices = values["trainer.devices"]
    each = args.processes_per_host or (int(devices) if devices.isdigit() and int(devices) > 0 else None)
    if args.distribution == "mpi":
        values["sagemaker_mpi_enabled"] = True
        if each:
            values["sagemaker_mpi_num_of_processes_per_host"] = each
    elif args.distribution == "torch_distributed":
        values["sagemaker_torch_distributed_enabled"] = True
        values["sagemaker_instance_type"] = args.instance_type
        if each:
            values["sagemaker_hvdsm_processes_per_host"] = each
    return values


def estimator_arguments(args: argparse.Namespace) -> Dict[str, Any]:
    """Arguments of ``sagemaker.estimator.Estimator``, without the session."""
    made: Dict[str, Any] = {
        "image_uri": args.image_uri,
        "role": args.role,
        "instance_type": args.instance_type,
        "instance_count": args.instance_count,
        "volume_size": args.volume_size,
        "max_run": args.max_run,
        "output_path": args.output_path,
        "hyperparameters": hyperparameters(args),
        "environment": {},
        "disable_profiler": True,
        "debugger_hook_config": False,
    }
    if is_local(args.instance_type):
        # All hosts of local mode share this machine's cores.
        processes = args.instance_count * made["hyperparameters"].get("sagemaker_mpi_num_of_processes_per_host", 1)
        made["environment"]["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // processes))
    if args.source_dir:
        made.update(source_dir=args.source_dir, entry_point=args.entry_point)
    if not is_local(args.instance_type):
        made["max_retry_attempts"] = args.max_retry
    if args.spot_instances:
        made.update(use_spot_instances=True, max_wait=args.max_wait)  # the service refuses max_wait without spot capacity
    if args.checkpoint_path:
        made.update(checkpoint_s3_uri=args.checkpoint_path, checkpoint_local_path=CHECKPOINTS)
        made["environment"]["SM_CHECKPOINT_DIR"] = CHECKPOINTS
    return made


def main(words: Optional[Sequence[str]] = None) -> None:
    """Submit the job and follow its log to the end."""
    args = parse_args(words, os.environ)
    found = problems(args)
    if found:
        raise SystemExit("run_sagemaker.py: " + "\nrun_sagemaker.py: ".join(found))
    import boto3

    if boto3.Session().region_name is None:
        raise SystemExit("run_sagemaker.py: no AWS region: export AWS_DEFAULT_REGION=us-east-1, or run `aws configure`")
    try:
        from sagemaker.estimator import Estimator
        from sagemaker.local import LocalSession
        from sagemaker.session import Session
    except ImportError as error:
        raise SystemExit(f"run_sagemaker.py: {error}: it needs the SDK 2: pip install 'sagemaker>=2.200,<3'") from error
    if is_local(args.instance_type):
        session = LocalSession()
        # The source is taken from this machine: no bucket is needed.
        session.config = {"local": {"local_code": True}}
    else:
        bucket = args.output_path[len("s3://") :].partition("/")[0]
        session = Session(default_bucket=bucket)  # the source goes where results go
    estimator = Estimator(sagemaker_session=session, **estimator_arguments(args))
    estimator.fit({"training": args.input_path}, job_name=args.job_name, logs=True)
    print(f"model: {estimator.model_data}")


if __name__ == "__main__":
    sys.exit(main())
