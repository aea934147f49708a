"""CIFAR-10 for Lightning: every rank holds the images in memory and draws its own part of them."""

# ruff: noqa: ARG002 - names of parameters are Lightning's
from __future__ import annotations

import os
from typing import Any, Iterator, List, Optional, Tuple, Union

import cifar_files
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Dataset, DistributedSampler

SEED = 20220121  # of the validation split: the same on every rank and in every run


def default_data_dir() -> str:
    """The channel ``training`` of a SageMaker job, else ``.cache``."""
    return os.environ.get("SM_CHANNEL_TRAINING") or ".cache"


class Images(Dataset):
    """Images (N x 3 x 32 x 32, uint8) with labels (N); a whole batch is taken by one indexing."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Tuple[torch.Tensor, torch.Tensor]:
        return self.images[index], self.labels[index]

    def __getitems__(self, indices: List[int]) -> Tuple[torch.Tensor, torch.Tensor]:
        """One batch."""
        chosen = torch.as_tensor(indices)
        return self.images[chosen], self.labels[chosen]


class Part(DistributedSampler):
    """Samples r, r + n, r + 2n, ... for rank r of n: each one once, none twice, so that what is measured is exact."""

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.rank, len(self.dataset), self.num_replicas))

    def __len__(self) -> int:
        return len(range(self.rank, len(self.dataset), self.num_replicas))


def even_batch_size(samples: int, ranks: int, batch_size: int) -> int:
    """The least batch size from ``batch_size`` up by which all ranks make the same number of steps over their :class:`Part`.

    DDP exchanges buffers in every step, of evaluation too: a rank with one step more would wait for ever.
    """
    least = samples // ranks
    if least == 0:
        raise cifar_files.DataError(f"{samples} samples are too few for {ranks} ranks")
    if samples % ranks == 0:
        return batch_size
    while least % batch_size == 0:
        batch_size += 1
    return batch_size


class CIFAR10DataModule(LightningDataModule):
    """CIFAR-10 from a directory or an archive, else downloaded.

    Args:
        data_dir: directory with cifar-10-python.tar.gz or cifar-10-batches-py/; the channel ``training``, else ``.cache``.
        batch_size: images per rank and step.
        val_split: images (a whole number) or part (below 1) of the training set that are held out for validation.
        flip: mirror half of the training images.
        crop: shift training images by up to so many pixels.
        num_workers: processes per rank that prepare batches; images are in memory, so none is as good.
        seed: of order and augmentation.
        url: where the archive is downloaded, if data_dir has nothing.
        md5: digest that a downloaded archive must have; empty: any.
    """

    def __init__(
        self,
        data_dir: str = default_data_dir(),
        batch_size: int = 32,
        val_split: Union[int, float] = 0.2,
        flip: bool = True,
        crop: int = 4,
        num_workers: int = 0,
        seed: int = 42,
        url: str = cifar_files.URL,
        md5: str = cifar_files.MD5,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"data.batch_size is {batch_size}; it must be 1 or more")
        self.data_dir, self.batch_size, self.val_split = data_dir, batch_size, val_split
        self.flip, self.crop, self.num_workers, self.seed = flip, crop, num_workers, seed
        self.url, self.md5 = url, md5
        self.classes: Tuple[str, ...] = ()
        self._parts: List[Images] = []
        self._epoch: Optional[int] = None
        self._random = torch.Generator()

    @property
    def num_classes(self) -> int:
        """Classes of CIFAR-10 and of every data set in its format."""
        return 10

    def prepare_data(self) -> None:
        """Download the archive; Lightning calls this once on each host."""
        cifar_files.download(self.data_dir, self.url, self.md5)

    def setup(self, stage: str) -> None:
        """Read the images and split off those for validation."""
        if self._parts:
            return
        data = cifar_files.load(self.data_dir)
        if len(data.classes) != self.num_classes:
            raise cifar_files.DataError(f"{data.place} has {len(data.classes)} classes, not {self.num_classes}")
        self.classes = data.classes
        count = len(data.train.labels)
        held_out = int(self.val_split * count) if self.val_split < 1 else int(self.val_split)
        if not 0 < held_out < count:
            raise cifar_files.DataError(f"data.val_split={self.val_split} leaves {count - held_out} of {count} images to train")
        order = torch.randperm(count, generator=torch.Generator().manual_seed(SEED))
        images, labels = torch.from_numpy(data.train.images), torch.from_numpy(data.train.labels)
        train, val = order[held_out:], order[:held_out]
        self._parts = [
            Images(images[train], labels[train]),
            Images(images[val], labels[val]),
            Images(torch.from_numpy(data.test.images), torch.from_numpy(data.test.labels)),
        ]
        if self.trainer and self.trainer.is_global_zero:
            sizes = " / ".join(str(len(part)) for part in self._parts)
            print(f"data: {sizes} images to train / validate / test, from {data.place}", flush=True)

    def train_dataloader(self) -> DataLoader:
        """Another order in each epoch, the same number of images for every rank."""
        ranks, rank = self._place()
        sampler: DistributedSampler = DistributedSampler(self._parts[0], ranks, rank, shuffle=True, seed=self.seed)
        return self._loader(self._parts[0], sampler, self.batch_size)

    def val_dataloader(self) -> DataLoader:
        """What was held out of the training set."""
        return self._evaluated(self._parts[1])

    def test_dataloader(self) -> DataLoader:
        """The test set."""
        return self._evaluated(self._parts[2])

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Augment training batches, on the device; each rank and each epoch by its own random numbers."""
        trainer = self.trainer
        if trainer is None or not trainer.training:
            return batch
        if self._epoch != trainer.current_epoch:
            self._epoch = trainer.current_epoch
            self._random.manual_seed((self.seed * 1_000_003 + self._epoch) * 1_000_003 + trainer.global_rank)
        images, labels = batch
        return augment(images, self._random, self.crop, self.flip), labels

    def _place(self) -> Tuple[int, int]:
        return (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)

    def _evaluated(self, part: Images) -> DataLoader:
        ranks, rank = self._place()
        return self._loader(part, Part(part, ranks, rank), even_batch_size(len(part), ranks, self.batch_size))

    def _loader(self, part: Images, sampler: DistributedSampler, batch_size: int) -> DataLoader:
        return DataLoader(
            part,
            batch_size,
            sampler=sampler,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            collate_fn=_whole,
        )


def _whole(batch: Any) -> Any:
    """A batch that :meth:`Images.__getitems__` has made already."""
    return batch


def augment(images: torch.Tensor, random: torch.Generator, crop: int, flip: bool) -> torch.Tensor:
    """Shift each image by up to ``crop`` pixels, filling with zeros, and mirror half of them; shape and type are kept."""
    count, _, height, width = images.shape
    if crop:
        padded = torch.nn.functional.pad(images, (crop,) * 4)
        shift = torch.randint(0, 2 * crop + 1, (2, count), generator=random).to(images.device)
        rows = (shift[0, :, None] + torch.arange(height, device=images.device))[:, None, :, None]
        columns = (shift[1, :, None] + torch.arange(width, device=images.device))[:, None, None, :]
        every = torch.arange(count, device=images.device)[:, None, None, None]
        channel = torch.arange(images.shape[1], device=images.device)[None, :, None, None]
        images = padded[every, channel, rows, columns]
    if flip:
        mirrored = (torch.rand(count, generator=random) < 0.5).to(images.device)
        images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
    return images
