"""Adds the ranks up by torch.distributed, as torchrun starts them."""

import json
import os

import torch
import torch.distributed as dist

dist.init_process_group("gloo")
total = torch.tensor([dist.get_rank() + 1.0])
dist.all_reduce(total)
places = [None] * dist.get_world_size()
dist.all_gather_object(places, f"{os.uname().nodename}:{os.environ['LOCAL_RANK']}")
if dist.get_rank() == 0:
    with open("/opt/ml/model/told.json", "w") as file:
        json.dump({"places": places, "total": total.item()}, file)
dist.destroy_process_group()
