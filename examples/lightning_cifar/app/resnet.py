"""ResNet-18 for images of 32 x 32 pixels, and how it is trained."""

# ruff: noqa: ARG002 - names of parameters are Lightning's
from __future__ import annotations

from typing import Any, Tuple

import torch
from lightning.pytorch import LightningModule
from torch import nn
from torch.nn import functional
from torchmetrics.classification import MulticlassAccuracy

# Of CIFAR-10's training images, by channel, for values from 0 to 1.
MEAN = (0.4914, 0.4822, 0.4465)
DEVIATION = (0.2470, 0.2435, 0.2616)


class Block(nn.Module):
    """Two convolutions of 3 x 3 and a way past them (He et al., 2015, figure 2)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.past: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.past = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """N x inputs x H x W to N x outputs x H/stride x W/stride."""
        inner = functional.relu(self.first_norm(self.first(x)))
        return functional.relu(self.second_norm(self.second(inner)) + self.past(x))


class ResNet18(nn.Module):
    """Eight blocks; the first convolution keeps the size, since images are small.

    Args:
        num_classes: classes.
        width: channels of the first stage; 64 is ResNet-18, less is a small relative of it.
    """

    def __init__(self, num_classes: int = 10, width: int = 64) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None] * 255)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None] * 255)
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        stages, inputs = [], width
        for stage in range(4):
            outputs = width << stage
            stages += [Block(inputs, outputs, 1 if stage == 0 else 2), Block(outputs, outputs, 1)]
            inputs = outputs
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(inputs, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Scores (N x classes) of images (N x 3 x 32 x 32) with values from 0 to 255."""
        x = (images.float() - self.mean) / self.deviation
        scores: torch.Tensor = self.head(self.stages(self.stem(x)).mean((2, 3)))
        return scores


class ResNet18Classifier(LightningModule):
    """Trains :class:`ResNet18`; the optimizer is the command line's.

    Args:
        num_classes: classes; linked to the data's.
        width: channels of the first stage.
        label_smoothing: part of the target that is spread over all classes.
    """

    def __init__(self, num_classes: int = 10, width: int = 64, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.network = ResNet18(num_classes, width)
        self.val_accuracy = MulticlassAccuracy(num_classes, average="micro")
        self.test_accuracy = MulticlassAccuracy(num_classes, average="micro")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Scores of images with values from 0 to 255."""
        scores: torch.Tensor = self.network(images)
        return scores

    def training_step(self, batch: Tuple[torch.Tensor, torch.Tensor], index: int) -> torch.Tensor:
        """Loss of one batch."""
        images, labels = batch
        loss = functional.cross_entropy(self(images), labels, label_smoothing=self.hparams["label_smoothing"])
        self.log("train_loss", loss, on_step=True, on_epoch=False)
        self.log("train_loss_epoch", loss, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(labels))
        return loss

    def validation_step(self, batch: Any, index: int) -> None:
        """Count what is right in one batch."""
        self._evaluate(batch, "val", self.val_accuracy)

    def test_step(self, batch: Any, index: int) -> None:
        """Count what is right in one batch."""
        self._evaluate(batch, "test", self.test_accuracy)

    def _evaluate(self, batch: Tuple[torch.Tensor, torch.Tensor], name: str, accuracy: MulticlassAccuracy) -> None:
        images, labels = batch
        scores = self(images)
        accuracy.update(scores, labels)
        # The metric sums what all ranks counted: exact, however the images were divided.
        self.log(f"{name}_acc", accuracy, on_step=False, on_epoch=True)
        loss = functional.cross_entropy(scores, labels)
        self.log(f"{name}_loss", loss, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(labels))
