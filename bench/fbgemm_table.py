"""FBGEMM's row-wise Adagrad on the ids of `bench table`: look-up, backward and fused update.

    python fbgemm_table.py IDS ROWS WIDTH

IDS holds int64 ids, 65,536 a step. FBGEMM's fastest form on a CPU is used, bags of one id. Prints
the median milliseconds of a step after a warm-up. Needs fbgemm_gpu (CPU) beside PyTorch.
"""
import statistics
import sys
import time

import torch
from fbgemm_gpu.split_embedding_configs import EmbOptimType
from fbgemm_gpu.split_table_batched_embeddings_ops_common import EmbeddingLocation, PoolingMode
from fbgemm_gpu.split_table_batched_embeddings_ops_training import (
    ComputeDevice, SplitTableBatchedEmbeddingBagsCodegen)

IDS = 65536
file, rows, width = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(1)
steps = torch.frombuffer(bytearray(open(file, "rb").read()), dtype=torch.int64).view(-1, IDS)
table = SplitTableBatchedEmbeddingBagsCodegen(
    [(rows, width, EmbeddingLocation.HOST, ComputeDevice.CPU)],
    optimizer=EmbOptimType.EXACT_ROWWISE_ADAGRAD, learning_rate=1e-3, eps=1e-8,
    pooling_mode=PoolingMode.SUM)
offsets = torch.arange(IDS + 1)
gradient = torch.randn(IDS, width, generator=torch.Generator().manual_seed(1)) * 1e-2


def step(ids):
    start = time.perf_counter()
    table(ids, offsets).backward(gradient)
    return 1e3 * (time.perf_counter() - start)


for ids in steps:
    step(ids)
print(statistics.median(step(ids) for ids in steps))
