r"""Train ResNet-18 on CIFAR-10 with PyTorch Lightning, on any number of hosts and processes.

    python app/train.py --data=CIFAR10DataModule --data.data_dir=.cache --optimizer=Adam --optimizer.lr=0.001 \
        --trainer.accelerator=gpu --trainer.devices=-1 --trainer.max_epochs=5 --logger.save_dir=logs/tensorboard

The same script runs alone, in a SageMaker training job, and under mpirun or torchrun on several hosts; ``cluster.py`` says how it
finds out.  Defaults are in ``trainer.yaml`` and, in a SageMaker job, in the environment.  Only global rank 0 writes.
"""

# ruff: noqa: ARG001, ARG002 - names of parameters are Lightning's
from __future__ import annotations

import os
import signal
import sys
import threading
import time
import warnings
from typing import Any, Dict, List

import torch
from checkpoints import (
    LAST,
    MODEL,
    EpochCheckpoint,
    SameStart,
    SharedCheckpoints,
    default_directory,
    default_model_dir,
    digest,
    resume_from,
    save_model,
)
from cifar_data import CIFAR10DataModule  # noqa: F401 - for --data
from cifar_files import DataError
from cluster import is_first, launched, place_host, trainer_options
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from resnet import ResNet18Classifier
from tensorboard_s3 import EventLogger

HERE = os.path.dirname(os.path.abspath(__file__))
OLD_NAME = "--trainer.weights_save_path"
NEW_NAME = "--checkpoint.dirpath"


def say(text: str) -> None:
    """Print a whole line at once: many ranks may share a log."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class TrainCLI(LightningCLI):
    """The command line: Trainer, model, data, optimizer, and what is added here."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add logger, callbacks and what links them."""
        parser.add_class_arguments(EventLogger, "logger")
        parser.add_lightning_class_args(LearningRateMonitor, "lr_monitor")
        parser.add_lightning_class_args(EpochCheckpoint, "checkpoint")
        parser.set_defaults({"checkpoint.dirpath": default_directory(), "data": "CIFAR10DataModule"})
        parser.add_argument("--resume", default="auto", help="auto: from last.ckpt of checkpoint.dirpath; never; or a path")
        parser.add_argument("--model_dir", default=default_model_dir(), help="for model.pt")
        parser.link_arguments("data.num_classes", "model.num_classes", apply_on="instantiate")

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """A Trainer for this process's place among the others."""
        asked = self.config_init.trainer
        options, told = trainer_options(asked, os.environ, torch.cuda.device_count())
        environment = options.pop("environment")
        if is_first(os.environ):
            for message in told:
                say(f"train.py: {message}")
        given = asked.get("plugins") or []
        plugins = [*(given if isinstance(given, list) else [given]), environment, SharedCheckpoints()]
        chosen: Dict[str, Any] = {**options, "plugins": plugins}
        if asked.get("logger") is None:
            chosen["logger"] = self.config_init.logger
        return super().instantiate_trainer(**{**kwargs, **chosen})


class Stopping(Callback):
    """Ends this process at once on SIGTERM: a stopped job, spot capacity taken back, another rank's failure.

    Lightning's own handler has the ranks exchange a message first, which does not come to pass when each of them is elsewhere in
    the training, or when one of them is dead.  The last epoch's checkpoint is whole, and events are written out on the way.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take Lightning's place; it restores what was there before, after the training."""
        self._take(trainer)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The same for the test."""
        self._take(trainer)

    def _take(self, trainer: Trainer) -> None:
        def stop(number: int, frame: Any) -> None:
            if trainer.strategy.launcher is not None:
                trainer.strategy.launcher.kill(number)  # processes that Lightning has started
            raise SystemExit(128 + number)

        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, stop)


class Told(Callback):
    """Says where each rank is, and what each epoch brought."""

    def __init__(self) -> None:
        self._since, self._done = 0.0, 0

    @staticmethod
    def done(checkpoint: Dict[str, Any]) -> int:
        """Whole epochs of a checkpoint; Lightning's own number counts one more when it was written after the training."""
        return int(checkpoint["callbacks"].get(Told.__qualname__, {}).get("done", checkpoint["epoch"]))

    def state_dict(self) -> Dict[str, Any]:
        """What a checkpoint keeps."""
        return {"done": self._done}

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """One line from each rank."""
        host = os.environ.get("SM_CURRENT_HOST", "this machine")
        say(
            f"rank {trainer.global_rank} of {trainer.world_size} on {host}: local rank {trainer.local_rank}, "
            f"node {trainer.node_rank} of {trainer.num_nodes}, {pl_module.device}"
        )

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The epoch's clock."""
        self._since = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """One line from rank 0; validation and checkpoint of the epoch come before it."""
        self._done = trainer.current_epoch + 1
        if trainer.is_global_zero:
            values = ", ".join(
                f"{name} {float(trainer.callback_metrics[metric]):.4f}"
                for name, metric in (("train_loss", "train_loss_epoch"), ("val_loss", "val_loss"), ("val_acc", "val_acc"))
                if metric in trainer.callback_metrics
            )
            seconds = time.monotonic() - self._since
            say(f"epoch {self._done} of {trainer.max_epochs}: {values} ({seconds:.1f} s)")


def arguments(words: List[str]) -> List[str]:
    """The command line in Lightning's present names: ``--trainer.weights_save_path`` became the checkpoints' directory."""
    found = []
    for word in words:
        name, equals, value = word.partition("=")
        if name == OLD_NAME:
            if is_first(os.environ):
                say(f"train.py: {OLD_NAME} is gone from Lightning 2; taken as {NEW_NAME}")
            word = NEW_NAME + equals + value
        found.append(word)
    return found


def quiet() -> None:
    """Keep out of the log what tells nothing here; TensorBoard loads TensorFlow where it is installed."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\).*")
    warnings.filterwarnings("ignore", message=r".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=r".*`DistributedSampler` with.*")
    warnings.filterwarnings("ignore", message=r".*exists and is not empty.*")
    warnings.filterwarnings("ignore", message=r".*number of training batches.*")


def check_replicas(trainer: Trainer, module: LightningModule) -> None:
    """Say the digest of this rank's weights; fails when the ranks' weights differ."""
    mine = digest(module)
    say(f"rank {trainer.global_rank} weights: {mine}")
    every: List[Any] = [mine]
    if torch.distributed.is_initialized():
        every = [None] * trainer.world_size
        torch.distributed.all_gather_object(every, mine)
    if len(set(every)) != 1:
        raise SystemExit(f"train.py: the ranks' weights differ: {', '.join(every)}")


def train(cli: TrainCLI) -> None:
    """Fit, compare the ranks, test the best model, and keep it."""
    trainer, module, data = cli.trainer, cli.model, cli.datamodule
    directory = str(cli.config_init.checkpoint.dirpath)
    if "://" in directory:
        raise SystemExit(f"train.py: {NEW_NAME}={directory}: give a directory; SageMaker mirrors /opt/ml/checkpoints to S3")
    checkpoint = resume_from(trainer, directory, cli.config_init.resume)
    if checkpoint and trainer.is_global_zero:
        saved = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
        say(f"resumed from {checkpoint}: epoch {Told.done(saved)} is done, step {saved['global_step']}")
    trainer.callbacks.append(SameStart(checkpoint))
    trainer.fit(module, data, ckpt_path=checkpoint)
    check_replicas(trainer, module)
    if trainer.fast_dev_run:
        return
    best = cli.trainer.strategy.broadcast(trainer.checkpoint_callback.best_model_path if trainer.checkpoint_callback else "")
    results = trainer.test(module, data, ckpt_path=best or None, verbose=False)[0]
    if trainer.is_global_zero:
        say(f"test loss: {results['test_loss']:.4f}")
        say(f"test accuracy: {results['test_acc']:.4f}")
        path = os.path.join(cli.config_init.model_dir, MODEL)
        save_model(path, module, getattr(data, "classes", ()), {name: float(value) for name, value in results.items()})
        say(f"model saved: {path} ({os.path.basename(best) or LAST})")


def share_cores() -> None:
    """Divide this host's cores among its processes, as Lightning does for those that it starts itself."""
    place = launched(os.environ)
    if place and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // place.local_world_size))


def main() -> None:
    """Read the command line and train."""
    quiet()
    share_cores()
    os.environ.update(place_host(os.environ))
    sys.argv[1:] = arguments(sys.argv[1:])  # here, since the processes that Lightning starts are given the same words
    cli = TrainCLI(
        ResNet18Classifier,
        LightningDataModule,
        subclass_mode_data=True,
        seed_everything_default=42,
        trainer_defaults={
            "callbacks": [Told(), Stopping()],
            "enable_progress_bar": sys.stdout.isatty(),
            "enable_model_summary": False,
        },
        save_config_kwargs={"overwrite": True},
        parser_kwargs={"default_config_files": [os.path.join(HERE, "trainer.yaml")]},
        run=False,
    )
    try:
        train(cli)
    except DataError as error:
        raise SystemExit(f"train.py: {error}") from error
    finally:
        for logger in cli.trainer.loggers:
            if isinstance(logger, EventLogger):
                logger.close()


if __name__ == "__main__":
    main()
