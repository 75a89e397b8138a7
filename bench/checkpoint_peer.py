#!/usr/bin/env python3
"""torch.save and torch.distributed.checkpoint on the state of `bench checkpoint` (two_ranks): 1 GB of float32 in 400 tensors, half
a rank, two gloo ranks of one thread, a matrix product as the step. Prints {"name", "value", "unit", "rounds"} a line:

    async_save.MODE.stall       until async_save returns, slowest rank
    async_save.MODE.background  from there until the checkpoint is complete
    async_save.MODE.lost        loop time beyond the quiet median while that lasts, slowest rank
    async_save.MODE.slowdown    mean step then over the quiet median
    torch.save                  rank 0 writes all and syncs; training waits

MODE is thread (the default of async_save) or cached (a stager that keeps its memory).
"""
import argparse, json, os, shutil, statistics, subprocess, sys, tempfile, time

os.environ.setdefault("OMP_NUM_THREADS", "1")


def shapes(total):
    """The tensors of bench/checkpoint_bench.cc, without its moments."""
    width = int(768 * (0.8 * total / 1.021e9) ** 0.5) // 2 * 2
    layer = [("qkv.weight", (3 * width, width)), ("qkv.bias", (3 * width,)), ("proj.weight", (width, width)), ("proj.bias", (width,)),
             ("fc1.weight", (4 * width, width)), ("fc1.bias", (4 * width,)), ("fc2.weight", (width, 4 * width)), ("fc2.bias", (width,)),
             ("norm1", (2 * width,)), ("norm2", (2 * width,)), ("norm3", (2 * width,))]
    out = {f"layer.{i}.{name}": shape for i in range(12) for name, shape in layer}
    elements = sum(s[0] * (s[1] if len(s) > 1 else 1) for s in out.values())
    out["words"] = (max(2, (int(total / 12) - elements) // width), width)
    return out


def worker(args):
    import torch, torch.distributed as dist, torch.distributed.checkpoint as dcp
    from torch.distributed._state_dict_utils import _create_cpu_state_dict
    from torch.distributed.checkpoint.staging import BlockingAsyncStager
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import DTensor, Shard

    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    world, rank = dist.get_world_size(), dist.get_rank()
    mesh, group = init_device_mesh("cpu", (world,)), dist.new_group(backend="gloo")
    state = {}
    for role in ("param", "moment1", "moment2"):
        for name, shape in shapes(args.bytes).items():
            whole = torch.arange(torch.Size(shape).numel(), dtype=torch.float32).view(shape)
            state[f"{role}.{name}"] = DTensor.from_local(whole.chunk(world, 0)[rank].clone(), mesh, [Shard(0)], run_check=False,
                                                         shape=whole.shape, stride=whole.stride())

    def slowest(value):
        tensor = torch.tensor([value], dtype=torch.float64)
        dist.all_reduce(tensor, dist.ReduceOp.MAX)
        return tensor.item()

    def say(name, values, unit):
        if rank == 0:
            print(json.dumps({"name": name, "value": statistics.median(values), "unit": unit, "rounds": len(values)}), flush=True)

    def clear(path):
        dist.barrier()
        if rank == 0:
            shutil.rmtree(path, ignore_errors=True)
        dist.barrier()

    x = torch.randn(384, 384)
    y = torch.empty_like(x)

    def steps(until, least):
        times = []
        while len(times) < least or not until():
            start = time.perf_counter()
            torch.mm(x, x, out=y)
            times.append(time.perf_counter() - start)
        return times

    for mode in ("thread", "cached"):
        figures = {key: [] for key in ("stall", "background", "lost", "slowdown")}
        more = {}
        if mode == "cached":
            more["async_stager"] = BlockingAsyncStager(cache_staged_state_dict=True)
            more["async_stager"].state_dict_cache = _create_cpu_state_dict(state)
        for round_ in range(args.rounds + 1):
            path = f"{args.dir}/dcp"
            clear(path)
            quiet = statistics.median(steps(lambda: True, 200))
            dist.barrier()
            start = time.perf_counter()
            future = dcp.async_save(state, checkpoint_id=path, process_group=group, **more)
            stall = time.perf_counter() - start
            future = getattr(future, "upload_completion", future)
            start = time.perf_counter()
            times = steps(future.done, 10)
            background = time.perf_counter() - start
            future.result()
            row = [slowest(v) for v in (stall, background, sum(times) - len(times) * quiet, sum(times) / len(times) / quiet)]
            if round_ > 0:
                for key, value in zip(figures, row):
                    figures[key].append(value)
        for key, values in figures.items():
            say(f"async_save.{mode}.{key}", values, "x quiet" if key == "slowdown" else "s")
    whole = {name: torch.zeros(tensor.shape) for name, tensor in state.items()} if rank == 0 else None
    times = []
    for _ in range(args.rounds):
        dist.barrier()
        start = time.perf_counter()
        if rank == 0:
            with open(f"{args.dir}/torch.pt", "wb") as file:
                torch.save(whole, file)
                file.flush()
                os.fsync(file.fileno())
            os.remove(f"{args.dir}/torch.pt")
        dist.barrier()
        times.append(time.perf_counter() - start)
    say("torch.save", times, "s")
    dist.destroy_process_group()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bytes", type=float, default=1e9)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dir", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if "RANK" in os.environ:
        return worker(args)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", __file__, f"--bytes={args.bytes}",
                   f"--rounds={args.rounds}", f"--dir={folder}"]
        sys.exit(subprocess.run(command, timeout=900).returncode)


if __name__ == "__main__":
    main()
