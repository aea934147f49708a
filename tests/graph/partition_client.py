"""One process of a DistDGL cluster: ``partition_client.py server|client SERVER CONFIG GRAPH``; a client checks its samples."""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import Any, Dict

HOSTS = ("algo-1", "algo-2")
PORT = 30050


def main() -> None:
    role, server, config, truth = sys.argv[1:]
    addresses = "/tmp/ip_config.txt"
    if not os.path.exists(addresses):
        with open(f"{addresses}.{role}", "w") as file:
            file.writelines(f"{socket.gethostbyname(host)} {PORT}\n" for host in HOSTS)
        os.rename(f"{addresses}.{role}", addresses)
    os.environ.update(
        DGL_ROLE=role, DGL_SERVER_ID=server, DGL_NUM_CLIENT="2", DGL_NUM_SERVER="1", DGL_NUM_SAMPLER="0", DGL_CONF_PATH=config,
        DGL_IP_CONFIG=addresses, DGL_GRAPH_FORMAT="csc", DGL_DIST_MODE="distributed", DGLBACKEND="pytorch",
    )  # fmt: skip
    import dgl

    # A server ends in here.
    dgl.distributed.initialize(addresses)
    try:
        check(dgl.distributed.DistGraph("sample", part_config=config), config, truth)
    finally:
        dgl.distributed.exit_client()


def originals(config: str, name: str) -> Dict[str, Any]:
    import dgl
    import torch

    folder = os.path.dirname(config)
    parts = [dgl.data.utils.load_tensors(os.path.join(folder, f"part{part}", name)) for part in range(len(HOSTS))]
    return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}


def check(graph: Any, config: str, truth: str) -> None:
    import dgl
    import numpy as np
    import torch

    known = np.load(truth)
    nodes, edges = originals(config, "orig_nids.dgl"), originals(config, "orig_eids.dgl")
    kinds = [tuple(name.split(":")) for name in edges]
    assert {name: graph.num_nodes(name) for name in nodes} == {name: len(ids) for name, ids in nodes.items()}
    every = torch.arange(graph.num_nodes("paper"))
    assert np.array_equal(graph.nodes["paper"].data["feat"][every].numpy(), known["feat"][nodes["paper"]])
    year = graph.edges[("paper", "cites", "paper")].data["year"]
    some = torch.arange(0, len(edges["paper:cites:paper"]), 3)
    assert np.array_equal(year[some].numpy(), known["year"][edges["paper:cites:paper"][some]])
    mine = dgl.distributed.node_split(torch.ones(len(every), dtype=torch.bool), graph.get_partition_book(), ntype="paper")
    found = dgl.distributed.sample_neighbors(graph, {"paper": mine}, -1)
    seen = 0
    assert [kind for kind in kinds if kind[2] == "paper"] == found.canonical_etypes
    for source, relation, destination in found.canonical_etypes:
        sources, destinations = found.edges(etype=(source, relation, destination))
        got = sorted(zip(nodes[source][sources].tolist(), nodes[destination][destinations].tolist()))
        begin, end = known[f"{source}:{relation}:{destination}"]
        wanted = np.isin(end, nodes["paper"][mine])
        assert got == sorted(zip(begin[wanted].tolist(), end[wanted].tolist())), relation
        seen += len(got)
    print(json.dumps({"nodes": nodes["paper"][mine].tolist(), "edges": seen}), flush=True)


if __name__ == "__main__":
    main()
