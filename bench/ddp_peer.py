# PyTorch DDP with Gloo on the model of ddp_bench.cc: 6 pre-norm layers of width 256, 2 x 64 tokens a
# rank, AdamW, two processes of one pinned core, 4 MB buckets. Prints seconds of a step (rank 0's
# median) and of the same step without communication.
#   python bench/ddp_peer.py [STEPS]
import os
import statistics
import sys
import time

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch import nn


class Layer(nn.Module):
    def __init__(self, width=256, heads=4):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        n, t, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, width)
        x = x + self.proj(y)
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


def median_step(model, optimiser, x, steps):
    seconds = []
    for _ in range(steps):
        dist.barrier()
        start = time.perf_counter()
        optimiser.zero_grad(set_to_none=False)
        model(x).pow(2).mean().backward()
        optimiser.step()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[steps // 4:])


def run(rank, steps, port):
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[rank % len(cores)]})
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=2)
    torch.manual_seed(1)
    model = nn.Sequential(*[Layer() for _ in range(6)])
    x = torch.sin(torch.arange(2 * 64 * 256) * 0.37 + rank).view(2, 64, 256)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    alone = median_step(model, optimiser, x, steps)
    ddp = nn.parallel.DistributedDataParallel(model, bucket_cap_mb=4, gradient_as_bucket_view=True)
    both = median_step(ddp, optimiser, x, steps)
    if rank == 0:
        print(f"PyTorch {torch.__version__} DDP, Gloo: {both:.5f} s a step, {alone:.5f} s without "
              f"communication")
    dist.destroy_process_group()


if __name__ == "__main__":
    mp.spawn(run, (int(sys.argv[1]) if len(sys.argv) > 1 else 40, 20000 + os.getpid() % 20000), nprocs=2)
