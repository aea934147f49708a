"""Checkpoints that survive a kill, the resumption from them, and the model that is kept in the end."""

# ruff: noqa: ARG002 - names of parameters are Lightning's
from __future__ import annotations

import hashlib
import io
import os
import tempfile
from typing import Any, Dict, List, Optional, Sequence

import torch
from cluster import Launched, is_first
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from resnet import ResNet18, ResNet18Classifier

LAST = "last.ckpt"
MODEL = "model.pt"


def default_directory() -> str:
    """SM_CHECKPOINT_DIR; else the directory that SageMaker mirrors to S3, where the job has one; else one of the output's."""
    given, output = os.environ.get("SM_CHECKPOINT_DIR"), os.environ.get("SM_OUTPUT_DATA_DIR")
    if not given and output and os.path.isdir("/opt/ml/checkpoints"):
        given = "/opt/ml/checkpoints"
    return given or os.path.join(output or "logs", "checkpoints")


def default_model_dir() -> str:
    """What SageMaker keeps as the model, else ``logs/model``."""
    return os.environ.get("SM_MODEL_DIR") or os.path.join("logs", "model")


def write_whole(value: Any, path: str) -> None:
    """Save so that ``path`` is the old file or the new one, never a part: SageMaker may upload it, or kill us, at any time."""
    directory = os.path.dirname(os.path.abspath(path))
    os.makedirs(directory, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=directory, prefix="." + os.path.basename(path) + ".", delete=False) as file:
        try:
            torch.save(value, file)
        except BaseException:
            os.unlink(file.name)
            raise
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


class EpochCheckpoint(ModelCheckpoint):
    """ModelCheckpoint whose ``last.ckpt`` is every epoch's.

    Lightning 2 writes it only when the epoch is among the best as well: a job that is killed would go on from some older epoch.
    """

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save what Lightning saves, and the last one where that was left out; called on all ranks together."""
        super().on_train_epoch_end(trainer, pl_module)
        if self.save_last and self.dirpath and not trainer.fast_dev_run and self._last_global_step_saved != trainer.global_step:
            trainer.save_checkpoint(os.path.join(self.dirpath, LAST))


class SharedCheckpoints(TorchCheckpointIO):
    """Rank 0 alone reads checkpoints, and gives them to the others: each host has a disk of its own.

    A checkpoint is read with ``weights_only``: tensors and plain values, nothing that could run.
    """

    def save_checkpoint(self, checkpoint: Dict[str, Any], path: Any, storage_options: Optional[Any] = None) -> None:
        """Write beside, then rename."""
        write_whole(checkpoint, os.fspath(path))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: Optional[bool] = None) -> Dict[str, Any]:
        """The checkpoint that rank 0 finds at ``path``; called on all ranks together."""
        data = [b""]
        if _rank() == 0:
            with open(path, "rb") as file:
                data = [file.read()]
        if torch.distributed.is_initialized():
            torch.distributed.broadcast_object_list(data, src=0)
        checkpoint: Dict[str, Any] = torch.load(io.BytesIO(data[0]), map_location="cpu", weights_only=True)
        return checkpoint


def _rank() -> int:
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0


def resume_from(trainer: Trainer, directory: str, resume: str) -> Optional[str]:
    """The checkpoint to go on from, or None: the same on all ranks.

    Args:
        trainer: about to train.
        directory: of checkpoints.
        resume: ``auto``: last.ckpt of the directory if there is one; ``never``; or a path.
    """
    if resume == "never":
        return None
    path = os.path.join(directory, LAST) if resume == "auto" else resume
    if isinstance(trainer.strategy.cluster_environment, Launched):
        # All ranks run, so they can agree now.  Else Lightning starts the others later, and each looks for itself.
        trainer.strategy.setup_environment()
    if is_first(os.environ):
        sweep(directory)
    found: Optional[str] = trainer.strategy.broadcast(path if os.path.isfile(path) else None)
    if resume != "auto" and not found:
        raise SystemExit(f"train.py: --resume={resume}: no such file; auto goes on from {os.path.join(directory, LAST)}")
    return found


def sweep(directory: str) -> None:
    """Remove what a killed process had written in part."""
    for name in os.listdir(directory) if os.path.isdir(directory) else ():
        if name.startswith(".") and ".ckpt." in name:
            os.unlink(os.path.join(directory, name))


class SameStart(Callback):
    """Refuses to train when some ranks go on from a checkpoint and others do not: they would wait for each other for ever."""

    def __init__(self, checkpoint: Optional[str]) -> None:
        self._checkpoint = checkpoint

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Compare; the ranks are connected now, and nothing has been read."""
        if stage == "fit" and torch.distributed.is_initialized():
            found: List[Optional[str]] = [None] * trainer.world_size
            torch.distributed.all_gather_object(found, self._checkpoint)
            if len(set(found)) != 1:
                lacking = ", ".join(str(rank) for rank, path in enumerate(found) if path is None)
                raise SystemExit(f"train.py: ranks {lacking} find no {LAST}, others do: copy it to all hosts, or --resume=never")


def save_model(path: str, module: ResNet18Classifier, classes: Sequence[str], results: Dict[str, float]) -> None:
    """Write the network so that :func:`model_fn` can load it without Lightning."""
    network = {name: tensor.cpu() for name, tensor in module.network.state_dict().items()}
    hyperparameters = {name: module.hparams[name] for name in ("num_classes", "width")}
    write_whole({"state_dict": network, "hyperparameters": hyperparameters, "classes": list(classes), "results": results}, path)


def model_fn(model_dir: str) -> ResNet18:
    """Load the network of ``model.pt`` for prediction; the name is the one that SageMaker's PyTorch serving container calls."""
    saved = torch.load(os.path.join(model_dir, MODEL), map_location="cpu", weights_only=True)
    network = ResNet18(**saved["hyperparameters"])
    network.load_state_dict(saved["state_dict"])
    return network.eval()


def digest(module: torch.nn.Module) -> str:
    """16 hexadecimal digits that are equal when all parameters are, to the last bit."""
    found = hashlib.sha256()
    for name, tensor in sorted(module.named_parameters()):
        found.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]
