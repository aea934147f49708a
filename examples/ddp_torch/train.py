"""Train a small convolutional network on handwritten digits with PyTorch's own DistributedDataParallel.

Nothing here knows of MPI or of hvdsm: the process group is PyTorch's ``env://``, which reads RANK, WORLD_SIZE, MASTER_ADDR and
MASTER_PORT; LOCAL_RANK chooses the GPU.  Without RANK the script runs as one process.

Data: an npz file with ``data`` (N x H x W, or N x H x W x 1, grey values from 0 up; 28 x 28 as in MNIST, 8 x 8 and others work)
and ``labels`` (N whole numbers from 0), looked for in the channels ``train`` and ``test`` in files of those names; without a test
file a fifth of the training samples is held out.  Without channels: the 1,797 scanned 8 x 8 digits that come with scikit-learn.

Rank r of n takes the samples r, r + n, r + 2n, ... of the training set: shards differ by one sample at most, and every rank makes
the same number of steps.  Only rank 0 writes: at the end, ``model.pt``, which ``model_fn`` below loads for serving.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import math
import os
import socket
import time
from typing import Any, List, Optional, Tuple

say = functools.partial(print, flush=True)


def parse_args() -> argparse.Namespace:
    """Read the command line; the defaults are what SageMaker puts into the environment, where it does."""
    env = os.environ
    parser = argparse.ArgumentParser(description="Train a digit classifier with PyTorch DDP on any number of ranks.")
    parser.add_argument(
        "--train",
        default=env.get("SM_CHANNEL_TRAIN") or env.get("SM_CHANNEL_TRAINING"),
        metavar="PATH",
        help="npz file, or directory with train.npz",
    )
    parser.add_argument("--test", default=env.get("SM_CHANNEL_TEST"), metavar="PATH", help="npz file, or directory with test.npz")
    parser.add_argument(
        "--model-dir", "--model_dir", default=default_model_dir(), metavar="DIR", help="for model.pt (%(default)s)"
    )
    parser.add_argument("--epochs", type=int, default=15, help="passes over the training set (%(default)s)")
    parser.add_argument("--batch-size", type=int, default=32, help="samples per rank and step (%(default)s)")
    parser.add_argument(
        "--lr", type=float, default=0.02, help="learning rate of one rank; multiplied by their number (%(default)s)"
    )
    parser.add_argument("--warmup-epochs", type=float, default=2.0, help="epochs from --lr to the multiplied rate (%(default)s)")
    parser.add_argument("--seed", type=int, default=42, help="of the weights, the order of samples and dropout (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads per rank (%(default)s)")
    parser.add_argument(
        "--check-replicas", type=flag, nargs="?", const=True, default=False, help="compare the ranks' weights at the end"
    )
    return parser.parse_args()


def default_model_dir() -> str:
    """Where SageMaker collects the model, else ``./model``."""
    return os.environ.get("SM_MODEL_DIR") or "model"


def flag(text: str) -> bool:
    """A truth value as hyperparameters carry it: the word, not Python's truth of a string."""
    if text.lower() not in ("true", "false", "1", "0"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither True nor False")
    return text.lower() in ("true", "1")


def load_data(train_path: Optional[str], test_path: Optional[str]) -> Tuple[Any, Any, Any, Any]:
    """Return training images, training labels, test images, test labels: N x H x W float32 as in the file, and N int64."""
    import numpy as np

    if train_path:
        train = read_npz(train_path, "train.npz")
        beside = os.path.join(train_path, "test.npz")
        if not test_path and os.path.isfile(beside):
            test_path = beside
    elif test_path:
        raise SystemExit(f"train.py: a test set ({test_path}) without a training set: give --train as well")
    else:
        try:
            from sklearn.datasets import load_digits
        except ImportError as error:
            raise SystemExit(
                "train.py: no --train, and the built-in digits need scikit-learn: pip install scikit-learn"
            ) from error
        digits = load_digits()
        train = digits.images.astype(np.float32), digits.target.astype(np.int64)
    if test_path:
        return (*train, *read_npz(test_path, "test.npz"))
    order = np.random.RandomState(0).permutation(len(train[1]))  # the same split on every rank and in every run
    held_out, kept = np.split(order, [-(-len(order) // 5)])
    return train[0][kept], train[1][kept], train[0][held_out], train[1][held_out]


def read_npz(path: str, name: str) -> Tuple[Any, Any]:
    """Read images and labels from the file ``path``, or from ``name`` (else the only npz file) in the directory ``path``."""
    import numpy as np

    if os.path.isdir(path):
        found = [entry for entry in sorted(os.listdir(path)) if entry.endswith(".npz")]
        if name not in found and len(found) != 1:
            raise SystemExit(f"train.py: {path}: expected {name} or one npz file, found {found or 'none'}")
        path = os.path.join(path, name if name in found else found[0])
    with np.load(path) as arrays:
        missing = {"data", "labels"} - set(arrays.files)
        if missing:
            raise SystemExit(f"train.py: {path}: no array {' and '.join(sorted(missing))}; it has {arrays.files}")
        images, labels = arrays["data"].astype(np.float32), arrays["labels"].astype(np.int64)
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if images.ndim != 3 or labels.shape != (len(images),):
        raise SystemExit(f"train.py: {path}: data is {images.shape}, labels {labels.shape}; expected N x H x W and N")
    return images, labels


def batches(count: int, steps: int, seed: List[int]) -> List[Any]:
    """Deal ``count`` sample numbers, shuffled, into ``steps`` batches that differ by one sample at most."""
    import numpy as np

    return np.array_split(np.random.default_rng(seed).permutation(count), steps)


def build_model(height: int, width: int, classes: int, scale: float) -> Any:
    """Two convolutions and two dense layers; takes raw grey values, N x 1 x H x W, of which ``scale`` is the largest."""
    import torch
    from torch import nn

    rescale = nn.Conv2d(1, 1, kernel_size=1, bias=False).requires_grad_(False)
    torch.nn.init.constant_(rescale.weight, 1.0 / scale)
    return nn.Sequential(
        rescale,
        nn.Conv2d(1, 16, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(32 * (height // 2) * (width // 2), 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, classes),
    )


def model_fn(model_dir: str) -> Any:
    """Load the trained network; the name is the one that SageMaker's PyTorch serving container calls."""
    import torch

    saved = torch.load(os.path.join(model_dir, "model.pt"), map_location="cpu", weights_only=True)
    model = build_model(**saved["network"])
    model.load_state_dict(saved["weights"])
    return model.eval()


def main() -> None:
    """Train, test, save."""
    args = parse_args()
    import torch  # after parsing: --help and wrong options need no framework
    import torch.distributed as dist

    # DDP imports this later: its defaults would then hold the process group past the end of Python, whose threads abort there.
    import torch.distributed.nn.functional

    torch.set_num_threads(args.threads)
    # Before the ranks connect: what is wrong with the data, each of them finds out alone.
    train_x, train_y, test_x, test_y = load_data(args.train, args.test)
    with_others = "RANK" in os.environ
    size = int(os.environ["WORLD_SIZE"]) if with_others else 1
    if len(train_y) < size:
        raise SystemExit(f"train.py: {len(train_y)} training samples are too few for {size} ranks")
    gpus = torch.cuda.device_count()
    backend = "cpu:gloo,cuda:nccl" if gpus else "gloo"
    if with_others:
        dist.init_process_group(backend, init_method="env://")
    else:
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    rank = dist.get_rank()
    local_rank, local_size = int(os.environ.get("LOCAL_RANK", 0)), int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    first = rank == 0
    # The SageMaker SDK passes an S3 address here; what is written to SM_MODEL_DIR is what the service uploads.
    model_dir = default_model_dir() if "://" in args.model_dir else args.model_dir
    if first and model_dir != args.model_dir:
        say(f"--model-dir {args.model_dir} is not a local directory: saving to {model_dir}")

    def sum_over_ranks(*values: float) -> List[float]:
        total = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(total)
        return total.tolist()

    # A rank gets the GPU of its local number; all ranks use the CPU unless each has a GPU of its own.
    with_gpu = sum_over_ranks(float(gpus >= max(local_size, local_rank + 1)))[0]
    device = torch.device("cuda", local_rank) if with_gpu == size else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)

    network = {"height": train_x.shape[1], "width": train_x.shape[2], "classes": int(max(train_y.max(), test_y.max())) + 1}
    network["scale"] = float(train_x.max()) or 1.0
    if first:
        shape = f"{network['height']}x{network['width']}, {network['classes']} classes"
        source = args.train or "scikit-learn's digits"
        say(f"data: {len(train_y)} training and {len(test_y)} test images, {shape}, from {source}")
    steps = math.ceil(math.ceil(len(train_y) / size) / args.batch_size)  # of the largest shard, and so of every rank
    shard_x, shard_y, part_x, part_y = (
        torch.from_numpy(array[rank::size].copy()).to(device) for array in (train_x[:, None], train_y, test_x[:, None], test_y)
    )
    host = os.environ.get("SM_CURRENT_HOST") or socket.gethostname()
    say(f"rank {rank} of {size} on {host}: {len(shard_y)} samples, {steps} steps per epoch, {device}")

    torch.manual_seed(args.seed)
    network_of_rank = build_model(**network).to(device)
    # Broadcasts the weights of rank 0 now, and averages the gradients over the ranks in every backward pass.
    model = torch.nn.parallel.DistributedDataParallel(network_of_rank, device_ids=[local_rank] if device.type == "cuda" else None)
    optimizer = torch.optim.SGD(
        [weight for weight in model.parameters() if weight.requires_grad], lr=args.lr * size, momentum=0.9
    )
    torch.manual_seed(args.seed + 1 + rank)  # from here on each rank drops out other units

    seconds = 0.0
    for epoch in range(args.epochs):
        begin = time.perf_counter()
        model.train()
        loss_sum = right = 0.0
        for step, chosen in enumerate(batches(len(shard_y), steps, [args.seed, epoch, rank])):
            warm = min(1.0, (epoch + step / steps) / args.warmup_epochs) if args.warmup_epochs > 0 else 1.0
            optimizer.param_groups[0]["lr"] = args.lr * (1 + (size - 1) * warm)
            x, y = shard_x[chosen], shard_y[chosen]
            optimizer.zero_grad()
            output = model(x)
            loss = torch.nn.functional.cross_entropy(output, y)
            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * len(y)
            right += (output.argmax(1) == y).sum().item()
        # Sums and counts, not means: shards may differ by a sample.
        loss_sum, right, count = sum_over_ranks(loss_sum, right, len(shard_y))
        spent = time.perf_counter() - begin
        seconds += spent
        if first:
            say(f"epoch {epoch + 1} of {args.epochs}: loss {loss_sum / count:.4f}, accuracy {right / count:.4f}, {spent:.2f} s")

    network_of_rank.eval()
    loss_sum = right = 0.0
    with torch.no_grad():
        for x, y in zip(part_x.split(500), part_y.split(500)):
            output = network_of_rank(x)
            loss_sum += torch.nn.functional.cross_entropy(output, y, reduction="sum").item()
            right += (output.argmax(1) == y).sum().item()
    loss_sum, right, count = sum_over_ranks(loss_sum, right, len(part_y))

    if args.check_replicas:
        data = b"".join(value.cpu().numpy().tobytes() for value in network_of_rank.state_dict().values())
        digest = hashlib.sha256(data).hexdigest()[:16]
        say(f"rank {rank} weights: {digest}")
        digests: List[Any] = [None] * size
        dist.all_gather_object(digests, digest)
        if len(set(digests)) != 1:
            raise SystemExit("train.py: the ranks ended with different weights")

    if first:
        if seconds:
            say(f"throughput: {len(train_y) * args.epochs / seconds:.0f} samples/s")
        say(f"test loss: {loss_sum / count:.4f}")
        say(f"test accuracy: {right / count:.4f}")
        path = os.path.join(model_dir, "model.pt")
        os.makedirs(model_dir, exist_ok=True)
        torch.save(
            {"network": network, "weights": {name: value.cpu() for name, value in network_of_rank.state_dict().items()}}, path
        )
        say(f"model saved: {path}")
    # DistributedDataParallel holds the process group: freed after it, its end could wait for a thread that waits for Python.
    del model
    # Rank 0 holds the store, and is the last to come here: the others stay until it has saved.
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
