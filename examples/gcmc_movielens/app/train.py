"""Train Graph Convolutional Matrix Completion on MovieLens with PyTorch and DGL, in one process or in several by Horovod.

    python train.py --data_name ml-100k --data_dir DIR

Data: the files of a data set, or its archive, in a channel or a directory; else the archive is downloaded.  Written to
--save_dir, which is SM_MODEL_DIR in a job: ``best_valid_net``, three CSV files and ``net.txt``; the plot goes to
SM_OUTPUT_DATA_DIR.

With several processes each learns its share of the ratings from the whole graph, and gradients are averaged: one step is that
of a single process, but for dropout.  With mini-batches each process takes a batch of its own.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any, Dict

from gcmc.finding import find_data
from gcmc.movielens import LAYOUTS, DataError, Layout, MovieLens
from gcmc.options import parse


def find(args: Any, layout: Layout, first_on_host: bool, wait: Any) -> MovieLens:
    """Read the data from the given directory, or from one of the job's own, where it gets unpacked."""
    own = os.path.join(os.environ.get("TMPDIR") or "/tmp", "movielens") if os.environ.get("SM_MODEL_DIR") else "data"
    return find_data(
        layout, args.data_dir, own, fold=args.data_fold, features=not args.use_one_hot_fea, url=args.data_url,
        digest=args.data_md5, first_on_host=first_on_host, wait=wait,
    )  # fmt: skip


def choose_device(wanted: str, local_rank: int) -> Any:
    """A GPU where torch and DGL can use one."""
    import dgl
    import torch

    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    device = torch.device("cuda", local_rank % max(1, torch.cuda.device_count()))
    try:
        dgl.graph(([0], [0])).to(device)
    except Exception as error:
        if wanted == "cuda":
            raise SystemExit(f"train.py: --device cuda: {error}: install a DGL that was built for CUDA") from error
        return torch.device("cpu")
    return device


def main() -> None:
    """Read, train, test, save."""
    args = parse(None, os.environ)
    os.environ.setdefault("DGLBACKEND", "pytorch")
    local = int(os.environ.get("OMPI_COMM_WORLD_LOCAL_SIZE") or os.environ.get("HOROVOD_LOCAL_SIZE") or 1)
    threads = args.threads or int(os.environ.get("OMP_NUM_THREADS") or 0) or max(1, len(os.sched_getaffinity(0)) // local)
    os.environ["OMP_NUM_THREADS"] = str(threads)  # DGL reads it when it is loaded
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin take the cores of other processes

    try:
        import dgl
        import torch
    except ImportError as error:
        raise SystemExit(f"train.py: {error}: it needs torch and dgl: pip install torch dgl==1.1.3") from error
    from gcmc import dataset, graphs, sampling
    from gcmc.model import Network, Shape
    from gcmc.parallel import connect
    from gcmc.records import Records
    from gcmc.training import Question, Schedule, rmse, share, train

    begin = time.perf_counter()
    torch.set_num_threads(threads)
    ranks = connect()
    first = ranks.rank == 0
    seed = ranks.same(args.seed if args.seed >= 0 else int.from_bytes(os.urandom(3), "little"))
    layout = LAYOUTS[args.data_name]
    try:
        source = find(args, layout, ranks.local_rank == 0, lambda: ranks.sums([0.0]))
        data = dataset.build(source, args.data_test_ratio, args.data_valid_ratio, seed, not args.use_one_hot_fea, args.glove)
    except (DataError, OSError) as error:
        raise SystemExit(f"train.py: {error}") from None

    device = choose_device(args.device, ranks.local_rank)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    made = graphs.build(data)
    given = {"user": data.user_features, "movie": data.movie_features}
    features: Dict[str, Any] = {side: torch.from_numpy(table).to(device) for side, table in given.items() if table is not None}
    stars = torch.tensor(data.stars, device=device)
    shape = Shape(
        stars=tuple(graphs.edge_type(value) for value in data.stars),
        nodes={"user": len(data.user_ids), "movie": len(data.movie_ids)},
        features={side: features[side].shape[1] if side in features else 0 for side in given},
        features_in_messages=args.fea_as == "input",
        units=args.gcn_agg_units,
        out_units=args.gcn_out_units,
        feature_units=args.fea_units,
        accumulate=args.gcn_agg_accum,
        dropout=args.gcn_dropout,
        activation=args.model_activation,
        bases=args.gen_r_num_basis_func,
        share=args.share_param,
    )
    torch.manual_seed(seed)
    dgl.seed(seed + ranks.rank)
    network = Network(shape).to(device)
    kind = torch.optim.Adam if args.train_optimizer == "adam" else torch.optim.SGD
    optimizer = ranks.begin(network, kind(network.parameters(), lr=args.train_lr))
    torch.manual_seed(seed + 1 + ranks.rank)  # from here on each rank drops out other nodes

    train_enc, train_dec = made.train_enc.to(device), made.train_dec.to(device)
    symmetric = args.gcn_agg_norm_symm
    if args.minibatch_size:
        random = torch.Generator().manual_seed(seed + ranks.rank)
        batches = sampling.mini_batches(
            train_enc, train_dec, symmetric, ranks.rank, ranks.size, args.minibatch_size, args.minibatch_fanout, random
        )
    else:
        batches = sampling.full_batches(train_enc, train_dec, symmetric, ranks.rank, ranks.size)
    questions = {}
    for name, encoder, decoder in (("valid", train_enc, made.valid_dec), ("test", made.test_enc.to(device), made.test_dec)):
        pairs, classes = share(decoder.to(device), ranks.rank, ranks.size)
        questions[name] = Question(graphs.whole(encoder, symmetric), pairs, classes)

    records = None
    if first:
        counts = f"{len(data.train)} ratings to train, {len(data.valid)} to validate, {len(data.test)} to test"
        print(f"{args.data_name}: {len(data.user_ids)} users, {len(data.movie_ids)} movies, {counts}", flush=True)
        try:
            records = Records(args.save_dir, args.save_id, args.silent)
        except OSError as error:
            raise SystemExit(f"train.py: --save_dir {args.save_dir}: {error}") from None
        records.describe(network, " ".join(sys.argv))
    host = os.environ.get("SM_CURRENT_HOST") or os.uname().nodename
    print(f"rank {ranks.rank} of {ranks.size} on {host}: {device}, {threads} threads, seed {seed}", flush=True)

    best = train(
        network,
        optimizer,
        Schedule(
            args.train_lr,
            args.train_min_lr,
            args.train_lr_decay_factor,
            args.train_decay_patience,
            args.train_early_stopping_patience,
            args.train_patience_from,
        ),
        batches,
        lambda name: rmse(network, questions[name], features, stars, ranks),
        ranks,
        steps=args.train_max_iter,
        clip=args.train_grad_clip,
        stars=stars,
        features=features,
        log_interval=args.train_log_interval,
        valid_interval=args.train_valid_interval,
        tell=records.tell if records else lambda _: None,
    )
    if records:
        more = {
            "user_ids": torch.from_numpy(data.user_ids),
            "movie_ids": torch.from_numpy(data.movie_ids),
            "features": {side: table.cpu() for side, table in features.items()},
            "options": vars(args),
            "rmse": {"valid": best.valid, "test": best.test},
        }
        print(f"network: {records.save(shape, best, more)}")
        print(f"plot: {records.plot(args.output_dir)}")
        records.close()
        print(f"{time.perf_counter() - begin:.0f} s in all")
        print(f"Best Iter Idx={best.step}, Best Valid RMSE={best.valid:.4f}, Best Test RMSE={best.test:.4f}", flush=True)


if __name__ == "__main__":
    main()
