"""A model that two processes shard and save with torch.distributed.checkpoint.

`write(folder)` starts both. folder/dcp is what they wrote, folder/whole.pt what it
was before it was sharded: by FSDP (along the heads), by tensor parallelism (along either axis of a
matrix), replicated, plain.
"""

import os
import pathlib
import subprocess
import sys


def write(folder):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, str(folder)]
    subprocess.run(command, env=environment, check=True, timeout=240)


def run(folder):
    import torch
    import torch.distributed as dist
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.state_dict import get_state_dict
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor

    rank = 1 if os.fork() == 0 else 0  # torch is imported once for both
    store = dist.FileStore(str(folder / "store"), 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    mesh = init_device_mesh("cpu", (2,))
    torch.manual_seed(0)
    block = torch.nn.Module()
    block.A_log = torch.nn.Parameter(torch.rand(7))
    block.dt_bias = torch.nn.Parameter(torch.randn(7) - 3)
    block.D = torch.nn.Parameter(torch.ones(7))
    block.in_proj = torch.nn.Linear(6, 5)
    block.forward = lambda x: block.in_proj(x).sum() + (block.A_log + block.dt_bias + block.D).sum()
    whole = {f"fsdp.{name}": value.clone() for name, value in block.state_dict().items()}
    fully_shard(block)
    optimizer = torch.optim.AdamW(block.parameters(), lr=0.0, weight_decay=0.0)
    block(torch.ones(2, 6)).backward()
    optimizer.step()
    model, state = get_state_dict(block, optimizer)
    rows, halves = torch.randn(3, 4), torch.randn(5).bfloat16()
    tensors = {
        "rows": (rows, Shard(0)),
        "columns": (rows * 2, Shard(1)),
        "replicated": (rows * 3, Replicate()),
        "halves": (halves, Shard(0)),
        "complex": (torch.complex(rows, rows * 2), Shard(1)),
    }
    parallel = {
        name: distribute_tensor(value, mesh, [how]) for name, (value, how) in tensors.items()
    }
    whole |= {f"tp.{name}": value for name, (value, _) in tensors.items()}
    whole["tp.plain"] = parallel["plain"] = torch.arange(3.0)
    saved = {"fsdp": model, "tp": parallel, "optimizer": state, "step": 7}
    dcp.save(saved, checkpoint_id=folder / "dcp")
    dist.destroy_process_group()
    if rank == 1:
        os._exit(0)
    torch.save(whole, folder / "whole.pt")
    os.wait()


if __name__ == "__main__":
    run(pathlib.Path(sys.argv[1]))
