"""The command line.  Options that a data set decides are the paper's for it, unless they are given."""

from __future__ import annotations

import argparse
from typing import Any, Dict, Mapping, Optional, Sequence

from gcmc.movielens import LAYOUTS

# The paper's settings; for ML-10M the steps and rates by which DGL's example trained it.
BY_DATA: Dict[str, Dict[str, Any]] = {
    "ml-100k": {"gcn_agg_accum": "stack"},
    "ml-1m": {},
    "ml-10m": {
        "gcn_agg_accum": "stack",
        "gcn_dropout": 0.3,
        "gen_r_num_basis_func": 4,
        "train_max_iter": 15000,
        "train_lr": 0.001,
        "train_min_lr": 0.0001,
        "train_valid_interval": 250,
        "train_log_interval": 50,
        "train_decay_patience": 4,
        "train_early_stopping_patience": 8,
        "train_patience_from": 0,
        "minibatch_size": 10000,
    },
}
USUAL: Dict[str, Any] = {
    "gcn_agg_accum": "sum",
    "gcn_dropout": 0.7,
    "gen_r_num_basis_func": 2,
    "train_max_iter": 2000,
    "train_lr": 0.01,
    "train_min_lr": 0.001,
    "train_valid_interval": 1,
    "train_log_interval": 1,
    "train_decay_patience": 50,
    "train_early_stopping_patience": 100,
    "train_patience_from": 500,
    "minibatch_size": 0,
}


def flag(text: str) -> bool:
    """A truth value as hyperparameters carry it: the word, not Python's truth of a string."""
    values = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"{text!r} is neither True nor False")
    return values[text.lower()]


def at_least(least: int, most: Optional[int] = None) -> Any:
    """A whole number that is not less, and not more."""

    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is less than {least}")
        if most is not None and value > most:
            raise argparse.ArgumentTypeError(f"{value} is more than {most}")
        return value

    return number


def positive(text: str) -> float:
    """A number above 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{value:g} is not above 0")
    return value


def fraction(text: str) -> float:
    """A number from 0 to 1, both left out."""
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{value:g} is not between 0 and 1")
    return value


def dropout(text: str) -> float:
    """A number from 0 to below 1."""
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{value:g} is not from 0 to below 1")
    return value


def usual(name: str) -> str:
    """What the help says of a default that depends on the data."""
    others = [f"{data} {values[name]}" for data, values in BY_DATA.items() if name in values]
    return f"({', '.join([str(USUAL[name]), *others])})"


def parser(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    """All options; defaults of paths are what SageMaker puts into the environment, where it does."""
    made = argparse.ArgumentParser(description="Train Graph Convolutional Matrix Completion on MovieLens.")
    truth: Dict[str, Any] = {"type": flag, "nargs": "?", "const": True, "metavar": "True|False"}
    data = made.add_argument_group("data")
    add = data.add_argument
    add("--data_name", choices=sorted(LAYOUTS), default="ml-1m", help="data set (%(default)s)")
    add("--data_dir", default=channel(environ), help="with its files or its archive; downloaded where it is empty (%(default)s)")
    add("--data_url", help="of the archive (GroupLens')")
    add("--data_md5", help="digest of the archive (the published one); empty for none")
    add("--data_fold", default="u1", help="of ml-100k: u1 to u5, ua, ub (%(default)s)")
    add("--data_test_ratio", type=fraction, default=0.1, help="of all ratings, where the files have no test (%(default)s)")
    add("--data_valid_ratio", type=fraction, default=0.1, help="of the other ratings (%(default)s)")
    add("--use_one_hot_fea", **truth, default=None,
        help="identity only: no features of users and movies (True, unless --fea_as or --glove ask for features)")  # fmt: skip
    add("--fea_as", choices=("side", "input"),
        help="features: side, beside one-hot messages as in the paper; input, as messages (side)")  # fmt: skip
    add(
        "--glove", default=environ.get("SM_CHANNEL_GLOVE") or "", help="file of 300-dimensional vectors for titles (hashed words)"
    )

    network = made.add_argument_group("network")
    add = network.add_argument
    add("--model_activation", choices=("leaky", "relu", "tanh", "sigmoid", "none"), default="leaky", help="(%(default)s)")
    add("--gcn_dropout", type=dropout, help=f"of messages and sums {usual('gcn_dropout')}")
    add("--gcn_agg_norm_symm", **truth, default=True, help="1/sqrt(degree) at both ends, not 1/degree at one (%(default)s)")
    add("--gcn_agg_units", type=at_least(1), default=500, help="size of the sums (%(default)s)")
    add("--gcn_agg_accum", choices=("sum", "stack"), help=f"over the numbers of stars {usual('gcn_agg_accum')}")
    add("--gcn_out_units", type=at_least(1), default=75, help="size of a user's or movie's encoding (%(default)s)")
    add("--fea_units", type=at_least(1), default=10, help="size of features in the dense layer (%(default)s)")
    add("--gen_r_num_basis_func", type=at_least(1), help=f"bilinear forms {usual('gen_r_num_basis_func')}")
    add("--share_param", **truth, default=False, help="the same weights for users and movies, where they have the same sizes")

    training = made.add_argument_group("training")
    add = training.add_argument
    add("--train_max_iter", type=at_least(1), help=f"steps at most {usual('train_max_iter')}")
    add("--train_log_interval", type=at_least(1), help=f"steps {usual('train_log_interval')}")
    add("--train_valid_interval", type=at_least(1), help=f"steps {usual('train_valid_interval')}")
    add("--train_optimizer", choices=("adam", "sgd"), default="adam", help="(%(default)s)")
    add("--train_grad_clip", type=positive, default=1.0, help="largest norm of the gradient (%(default)s)")
    add("--train_lr", type=positive, help=f"rate {usual('train_lr')}")
    add("--train_min_lr", type=positive, help=f"least rate {usual('train_min_lr')}")
    add("--train_lr_decay_factor", type=fraction, default=0.5, help="of the rate (%(default)s)")
    add("--train_decay_patience", type=at_least(0),
        help=f"validations without a better one, then the rate falls {usual('train_decay_patience')}")  # fmt: skip
    add("--train_early_stopping_patience", type=at_least(0),
        help=f"the same, then the training ends if the rate is the least {usual('train_early_stopping_patience')}")  # fmt: skip
    add("--train_patience_from", type=at_least(0),
        help=f"step from which they count: biases are learned at once, tastes later {usual('train_patience_from')}")  # fmt: skip
    add("--minibatch_size", type=at_least(0), help=f"ratings a step and rank; 0 for all {usual('minibatch_size')}")
    add("--minibatch_fanout", type=at_least(0), default=32,
        help="with mini-batches: ratings that a node hears of each number of stars; 0 for all (%(default)s)")  # fmt: skip

    run = made.add_argument_group("run")
    add = run.add_argument
    add("--seed", type=at_least(-1, 2**31), default=123, help="of split, weights and dropout; -1 for none (%(default)s)")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto is a GPU where torch and DGL have one")
    add("--threads", type=at_least(0), default=0, help="of a process; 0: the host's cores divided by its processes")
    add("--save_dir", default=environ.get("SM_MODEL_DIR") or "model", help="gets the network and the logs (%(default)s)")
    add("--save_id", default="", help="part of the names of the files there")
    add("--output_dir", default=environ.get("SM_OUTPUT_DATA_DIR"), help="gets the plot (the same as --save_dir)")
    add("--silent", **truth, default=False, help="no line for each step")
    return made


def channel(environ: Mapping[str, str]) -> str:
    """The channel of the data: train, training, or the only one but glove; ./data where there is none."""
    found = {name: path for name, path in environ.items() if name.startswith("SM_CHANNEL_") and name != "SM_CHANNEL_GLOVE"}
    named = found.get("SM_CHANNEL_TRAIN") or found.get("SM_CHANNEL_TRAINING")
    return named or (next(iter(found.values())) if len(found) == 1 else "data")


def parse(words: Optional[Sequence[str]], environ: Mapping[str, str]) -> argparse.Namespace:
    """Read the command line, and complete it by what the data set decides."""
    made = parser(environ)
    args = made.parse_args(words)
    for name, value in {**USUAL, **BY_DATA[args.data_name]}.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    stars = len(LAYOUTS[args.data_name].stars)
    if args.gcn_agg_accum == "stack" and args.gcn_agg_units % stars:
        made.error(f"--gcn_agg_units {args.gcn_agg_units}: with --gcn_agg_accum stack it must be a multiple of {stars}")
    if args.use_one_hot_fea and args.fea_as:
        made.error("--use_one_hot_fea leaves features out, --fea_as says where they go: choose one")
    if args.use_one_hot_fea is None:
        args.use_one_hot_fea = not (args.fea_as or args.glove)
    args.fea_as = args.fea_as or "side"
    args.output_dir = args.output_dir or args.save_dir
    return args
