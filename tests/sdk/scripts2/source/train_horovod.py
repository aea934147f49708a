"""A model of two weights, trained with Horovod as the notebooks do it: broadcast, averaged gradients, checkpoints by rank 0."""

# ruff: noqa: UP031

import argparse
import os

import horovod.torch as hvd
import torch

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=2)
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--train", type=str, default=os.environ.get("SM_CHANNEL_TRAIN"))
parser.add_argument("--model_dir", type=str)
args, _ = parser.parse_known_args()

hvd.init()
torch.manual_seed(hvd.rank())
with open(os.path.join(args.train, "points.csv")) as file:
    rows = torch.tensor([[float(cell) for cell in line.split(",")] for line in file])
mine = rows[hvd.rank() :: hvd.size()]
model = torch.nn.Linear(2, 1, bias=False)
hvd.broadcast_parameters(model.state_dict(), root_rank=0)
optimizer = hvd.DistributedOptimizer(torch.optim.SGD(model.parameters(), lr=args.lr), named_parameters=model.named_parameters())
for epoch in range(args.epochs):
    optimizer.zero_grad()
    loss = ((model(mine[:, :2]) - mine[:, 2:]) ** 2).mean()
    loss.backward()
    optimizer.step()
    mean = hvd.allreduce(loss.detach(), name="loss")
    if hvd.rank() == 0:
        print("epoch %d loss: %.6f" % (epoch + 1, mean), flush=True)
print("rank %d of %d has %s" % (hvd.rank(), hvd.size(), model.weight.detach().numpy().round(4).tolist()), flush=True)
if hvd.rank() == 0:
    torch.save(model.state_dict(), os.path.join(os.environ["SM_MODEL_DIR"], "model.pth"))
