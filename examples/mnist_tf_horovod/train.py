"""Train a small convolutional network on handwritten digits with TensorFlow 2.15 (Keras 2) and Horovod.

Data: an npz file with ``data`` (N x H x W, or N x H x W x 1, grey values from 0 up; 28 x 28 as in MNIST, 8 x 8 and others work)
and ``labels`` (N whole numbers from 0), looked for in the channels ``train`` and ``test`` in files of those names; without a test
file a fifth of the training samples is held out.  Without channels: the 1,797 scanned 8 x 8 digits that come with scikit-learn.

Rank r of n takes the samples r, r + n, r + 2n, ... of the training set: shards differ by one sample at most, and every rank makes
the same number of steps.  Only rank 0 writes: a checkpoint after each epoch where there is a checkpoint directory, the losses of
the epochs in ``<output-dir>/data``, and at the end a SavedModel in ``<model-dir>/1``, the versioned layout of TensorFlow Serving.

Keras 3 trains without exchanging gradients under Horovod 0.28, and does not say so; this script refuses to start on it.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import math
import os
import shutil
import socket
import time
from typing import Any, Iterator, List, Optional, Tuple

say = functools.partial(print, flush=True)
RATES = {"adadelta": 1.0, "sgd": 0.02}


def parse_args() -> Tuple[argparse.Namespace, List[str]]:
    """Read the command line: the options, and what is none; the defaults are what SageMaker puts into the environment."""
    env = os.environ
    train = env.get("SM_CHANNEL_TRAIN") or env.get("SM_CHANNEL_TRAINING")
    switch = {"type": flag, "nargs": "?", "const": True, "default": False}
    # Not abbreviated: a hyperparameter of someone else's is not the beginning of an option.
    parser = argparse.ArgumentParser(description="Train a digit classifier with Keras 2 and Horovod.", allow_abbrev=False)
    parser.add_argument("--train", default=train, metavar="PATH", help="npz file, or directory with train.npz")
    parser.add_argument("--test", default=env.get("SM_CHANNEL_TEST"), metavar="PATH", help="npz file, or directory with test.npz")
    parser.add_argument("--model-dir", "--model_dir", default=default_model_dir(), metavar="DIR", help="(%(default)s)")
    parser.add_argument(
        "--output-dir", default=env.get("SM_OUTPUT_DIR"), metavar="DIR", help="for data/history.json (%(default)s)"
    )
    help_text = "save and resume here; empty: neither (%(default)s)"
    parser.add_argument("--checkpoint-dir", default=default_checkpoint_dir(), metavar="DIR", help=help_text)
    parser.add_argument("--epochs", type=int, default=15, help="passes over the training set (%(default)s)")
    parser.add_argument("--divide-epochs", **switch, help="epochs divided by the ranks, rounded up")
    parser.add_argument("--batch-size", type=int, default=32, help="samples per rank and step (%(default)s)")
    parser.add_argument("--optimizer", choices=sorted(RATES), default="adadelta", help="%(choices)s (%(default)s)")
    parser.add_argument("--lr", type=float, metavar="RATE", help=f"of one rank; multiplied by their number ({RATES})")
    parser.add_argument("--warmup-epochs", type=int, default=2, help="epochs from --lr to the multiplied rate (%(default)s)")
    parser.add_argument("--seed", type=int, default=42, help="of the weights, the order of samples and dropout (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads per rank and pool (%(default)s)")
    parser.add_argument("--check-replicas", **switch, help="compare the ranks' weights at the end")
    return parser.parse_known_args()


def default_model_dir() -> str:
    """Where SageMaker collects the model, else ``./model``."""
    return os.environ.get("SM_MODEL_DIR") or "model"


def default_checkpoint_dir() -> Optional[str]:
    """SM_CHECKPOINT_DIR, else SageMaker's own directory where it exists (it is synchronised with S3 during the job)."""
    return os.environ.get("SM_CHECKPOINT_DIR") or ("/opt/ml/checkpoints" if os.path.isdir("/opt/ml/checkpoints") else None)


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


def build_model(keras: Any, height: int, width: int, classes: int, scale: float) -> Any:
    """Two convolutions and two dense layers; takes raw grey values, N x H x W x 1, of which ``scale`` is the largest."""
    return keras.Sequential(
        [
            keras.layers.InputLayer((height, width, 1), name="images"),
            keras.layers.Rescaling(1.0 / scale),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.Conv2D(64, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Dropout(0.25),
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(classes, activation="softmax"),
        ]
    )


def training_batches(x: Any, y: Any, steps: int, seed: int, rank: int, epoch: int) -> Iterator[Tuple[Any, Any]]:
    """Without end: ``steps`` batches of epoch ``epoch``, then those of the next, and so on."""
    while True:
        for chosen in batches(len(y), steps, [seed, epoch, rank]):
            yield x[chosen], y[chosen]
        epoch += 1


def save_for_serving(tf: Any, model: Any, path: str) -> None:
    """Write a SavedModel whose signature takes ``images`` and gives ``probabilities`` and ``digits``; replaces an earlier one."""
    # A copy: the trained model is saved with its training step, and a model server does not know the Horovod operations in it.
    network = tf.keras.models.clone_model(model)
    network.set_weights(model.get_weights())

    @tf.function(input_signature=[tf.TensorSpec([None, *network.input_shape[1:]], tf.float32, name="images")])
    def serve(images: Any) -> Any:
        probabilities = network(images, training=False)
        return {"probabilities": probabilities, "digits": tf.argmax(probabilities, axis=1)}

    # A model server takes every directory with a number for a name: this one appears whole, by renaming.
    part = path + ".part"
    shutil.rmtree(part, ignore_errors=True)
    tf.saved_model.save(network, part, signatures={"serving_default": serve})
    if os.path.isdir(path):
        shutil.rmtree(path)
    os.rename(part, path)


def save_history(output_dir: str, figures: Any) -> None:
    """Write ``data/history.json``: what is below ``data`` there, the service uploads as output.tar.gz."""
    os.makedirs(os.path.join(output_dir, "data"), exist_ok=True)
    with open(os.path.join(output_dir, "data", "history.json"), "w", encoding="utf-8") as file:
        json.dump(figures, file, indent=1)


def main() -> None:
    """Train, test, save."""
    args, ignored = parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read when TensorFlow is loaded
    import tensorflow as tf  # after parsing: --help and wrong options need none of the frameworks

    keras = tf.keras
    version = getattr(keras, "__version__", "2")  # the Keras 2 within TensorFlow names none
    if not version.startswith("2"):
        raise SystemExit(f"train.py: Keras {version} does not exchange gradients under Horovod: use tensorflow 2.15")
    import horovod.tensorflow as hvd
    import horovod.tensorflow.keras as hvd_keras

    hvd.init()
    rank, size = hvd.rank(), hvd.size()
    first = rank == 0
    # The SageMaker SDK passes an S3 address here; what is written to SM_MODEL_DIR is what the service uploads.
    model_dir = default_model_dir() if "://" in args.model_dir else args.model_dir
    if first and ignored:
        say(f"arguments that mean nothing here are ignored: {' '.join(ignored)}")
    if first and model_dir != args.model_dir:
        say(f"--model-dir {args.model_dir} is not a local directory: saving to {model_dir}")
    tf.get_logger().setLevel("ERROR")  # else Keras says of a short step that its callbacks take longer
    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    tf.config.threading.set_inter_op_parallelism_threads(args.threads)
    # A rank gets the GPU of its local number; without a GPU for each rank of the host, all of them use the CPU.
    gpus = tf.config.list_physical_devices("GPU")
    own = gpus[hvd.local_rank()] if gpus and len(gpus) >= hvd.local_size() else None
    tf.config.set_visible_devices([own] if own else [], "GPU")
    if own:
        tf.config.experimental.set_memory_growth(own, True)

    def sum_over_ranks(name: str, *values: float) -> List[float]:
        return hvd.allreduce(tf.constant(values, tf.float64), name=name, op=hvd.Sum).numpy().tolist()

    train_x, train_y, test_x, test_y = load_data(args.train, args.test)
    if len(train_y) < size:
        raise SystemExit(f"train.py: {len(train_y)} training samples are too few for {size} ranks")
    height, width = train_x.shape[1:]
    if min(height, width) < 6:
        raise SystemExit(f"train.py: images of {height}x{width} are too small for the network: 6x6 at least")
    classes = int(max(train_y.max(), test_y.max())) + 1
    if first:
        source = args.train or "scikit-learn's digits"
        say(f"data: {len(train_y)} training and {len(test_y)} test images, {height}x{width}, {classes} classes, from {source}")
    steps = math.ceil(math.ceil(len(train_y) / size) / args.batch_size)  # of the largest shard, and so of every rank
    shard_x, shard_y, part_x, part_y = (array[rank::size] for array in (train_x[..., None], train_y, test_x[..., None], test_y))
    host = os.environ.get("SM_CURRENT_HOST") or socket.gethostname()
    say(f"rank {rank} of {size} on {host}: {len(shard_y)} samples, {steps} steps per epoch, {own.name if own else 'cpu'}")

    keras.utils.set_random_seed(args.seed)
    model = build_model(keras, height, width, classes, float(train_x.max()) or 1.0)
    rate = size * (RATES[args.optimizer] if args.lr is None else args.lr)
    settings = {"momentum": 0.9} if args.optimizer == "sgd" else {}
    optimizer_class = {"adadelta": keras.optimizers.Adadelta, "sgd": keras.optimizers.SGD}[args.optimizer]
    # jit_compile: XLA, which Keras turns on where there is a GPU, cannot compile Horovod's operations.
    optimizer = hvd_keras.DistributedOptimizer(optimizer_class(rate, jit_compile=False, **settings))
    model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    optimizer.build(model.trainable_variables)  # its momenta exist from here on, for the checkpoint

    # Only rank 0 reads the checkpoint: the other hosts have none.  What it read reaches them by the broadcasts.
    epochs_done = tf.Variable(0, dtype=tf.int64)
    manager = None
    if first and args.checkpoint_dir:
        state = tf.train.Checkpoint(model=model, optimizer=optimizer, epochs_done=epochs_done)
        manager = tf.train.CheckpointManager(state, args.checkpoint_dir, max_to_keep=2)
        if manager.latest_checkpoint:
            state.restore(manager.latest_checkpoint).assert_existing_objects_matched()
            say(f"resumed from epoch {epochs_done.numpy()}: {manager.latest_checkpoint}")
    done = int(hvd.broadcast_object(int(epochs_done.numpy()), root_rank=0))
    # The callback below broadcasts only after the first step; a restored rank 0 must not take even that one alone.
    hvd.broadcast_variables([*model.variables, *optimizer.variables()], root_rank=0)
    optimizer.learning_rate = rate  # not the checkpoint's, which is that of its number of ranks
    keras.utils.set_random_seed(args.seed + 1 + rank)  # from here on each rank drops out other units

    # As in Horovod's own Keras example: n ranks with the rate times n need an n-th of the epochs.
    epochs = math.ceil(args.epochs / size) if args.divide_epochs else args.epochs
    marks, history = [time.perf_counter()], []

    def epoch_ended(epoch: int, logs: Any) -> None:
        marks.append(time.perf_counter())
        if first:
            spent = marks[-1] - marks[-2]
            say(f"epoch {epoch + 1} of {epochs}: loss {logs['loss']:.4f}, accuracy {logs['accuracy']:.4f}, {spent:.2f} s")
            history.append({"epoch": epoch + 1, "loss": float(logs["loss"]), "accuracy": float(logs["accuracy"])})
        if manager:
            epochs_done.assign(epoch + 1)
            manager.save(epoch + 1)
            say(f"checkpoint: epoch {epoch + 1}")

    callbacks = [
        hvd_keras.callbacks.BroadcastGlobalVariablesCallback(0),
        # The plain mean over ranks: each has the same number of samples, but for one.
        hvd_keras.callbacks.MetricAverageCallback(),
        keras.callbacks.LambdaCallback(on_epoch_end=epoch_ended),  # after the averaging
    ]
    if args.warmup_epochs > 0:
        # Keras 2.15's optimizers keep their momentum as a number, which momentum correction cannot set.
        warmup = hvd_keras.callbacks.LearningRateWarmupCallback(
            rate, warmup_epochs=args.warmup_epochs, momentum_correction=False, steps_per_epoch=steps
        )
        callbacks.insert(2, warmup)
    if done < epochs:
        feed = training_batches(shard_x, shard_y, steps, args.seed, rank, done)
        model.fit(feed, steps_per_epoch=steps, initial_epoch=done, epochs=epochs, callbacks=callbacks, verbose=0)

    # Sums and counts, not means: the parts of the test set may differ by a sample.
    loss_sum = right = 0.0
    for begin in range(0, len(part_y), 500):
        x, y = part_x[begin : begin + 500], part_y[begin : begin + 500]
        output = model(x, training=False)
        loss_sum += float(tf.reduce_sum(keras.losses.sparse_categorical_crossentropy(y, output)))
        right += float((output.numpy().argmax(axis=1) == y).sum())
    loss_sum, right, count = sum_over_ranks("test", loss_sum, right, len(part_y))

    if args.check_replicas:
        digest = hashlib.sha256(b"".join(value.tobytes() for value in model.get_weights())).hexdigest()[:16]
        say(f"rank {rank} weights: {digest}")
        if len(set(hvd.allgather_object(digest))) != 1:
            raise SystemExit("train.py: the ranks ended with different weights")

    if first:
        timed = marks[1:] if len(marks) > 2 else marks  # in the first epoch Keras builds its graph
        if len(timed) > 1:
            say(f"throughput: {len(train_y) * (len(timed) - 1) / (timed[-1] - timed[0]):.0f} samples/s")
        say(f"Test loss: {loss_sum / count:.4f}")
        say(f"Test accuracy: {right / count:.4f}")
        if args.output_dir:
            save_history(args.output_dir, {"epochs": history, "test_loss": loss_sum / count, "test_accuracy": right / count})
        path = os.path.join(model_dir, "1")
        save_for_serving(tf, model, path)
        say(f"model saved: {path}")


if __name__ == "__main__":
    main()
