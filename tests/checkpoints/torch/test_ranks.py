"""Models that were split over ranks: Megatron's and DeepSpeed's folders."""

import math
import random
from itertools import pairwise

import numpy as np
import pytest
import torch

from ssmspec import analyze
from ssmspec.checkpoints import open_checkpoint
from ssmspec.errors import CheckpointError
from ssmspec.families.split import whole
from tests.examples.torch_forgery import bounded

HEADS = 6


def mamba2():
    """One layer, named as Megatron names it, and the axis along which it splits each tensor."""
    draw = torch.Generator().manual_seed(0)
    tensors = {
        "A_log": torch.rand(HEADS, generator=draw) * 2,
        "dt_bias": torch.randn(HEADS, generator=draw) - 3,
        "D": torch.ones(HEADS),
        "in_proj.weight": torch.randn(2 * 12 + 8 + HEADS, 4, generator=draw),
        "norm.weight": torch.ones(12),
    }
    return {f"decoder.layers.0.mixer.{name}": tensor for name, tensor in tensors.items()}


def cut(tensors, rank, count):
    return {name: tensor.chunk(count)[rank].clone() for name, tensor in tensors.items()}


def megatron(folder, count=2, stage=""):
    for rank in range(count):
        (folder / f"mp_rank_{rank:02d}{stage}").mkdir(parents=True)
        torch.save(
            {"model": cut(mamba2(), rank, count), "args": {"tensor_model_parallel_size": count}},
            folder / f"mp_rank_{rank:02d}{stage}" / "model_optim_rng.pt",
        )
    return folder


def deepspeed(folder, count=2):
    folder.mkdir(exist_ok=True)
    for rank in range(count):
        torch.save(
            {"module": cut(mamba2(), rank, count), "mp_world_size": count},
            folder / f"mp_rank_{rank:02d}_model_states.pt",
        )
        torch.save({}, folder / f"zero_pp_rank_0_mp_rank_{rank:02d}_optim_states.pt")
    return folder


@pytest.mark.parametrize("write", [megatron, deepspeed])
@pytest.mark.parametrize("count", [2, 3])
def test_ranks_are_joined_along_the_heads(tmp_path, write, count):
    folder = write(tmp_path / "run", count)
    expected = {name: tensor.numpy() for name, tensor in mamba2().items()}
    prefix = "model" if write is megatron else "module"
    with open_checkpoint(folder) as split:
        checkpoint = whole(split)
        for name, array in expected.items():
            if name.endswith(("A_log", "dt_bias", ".D")):
                np.testing.assert_array_equal(checkpoint.load(f"{prefix}.{name}"), array)
        with pytest.raises(CheckpointError, match=r"axis is not known; convert it with"):
            checkpoint.load(f"{prefix}.decoder.layers.0.mixer.in_proj.weight")
        same = f"{prefix}.decoder.layers.0.mixer.norm.weight"  # alike on every rank
        assert checkpoint.load(same).shape == (12 // count,)
    read, from_whole = analyze(folder), analyze(expected)
    assert read.layers[0].metrics == from_whole.layers[0].metrics
    assert any(f"the {count} ranks of" in note for note in read.assumptions)


@pytest.mark.parametrize("write", [megatron, deepspeed])
def test_one_rank_is_named_as_one(tmp_path, write):
    folder = write(tmp_path / "run")
    (file,) = folder.glob("mp_rank_01*/*.pt" if write is megatron else "mp_rank_01*.pt")
    with open_checkpoint(file) as checkpoint:
        assert len(checkpoint.tensors) == len(mamba2())
        (note,) = checkpoint.notes
    assert note.startswith("this is rank 1 of 2, half of the heads of every layer; give the folder")
    (tmp_path / "alone" / "mp_rank_02").mkdir(parents=True)  # its number of ranks is in the file
    alone = tmp_path / "alone" / "mp_rank_02" / "model_optim_rng.pt"
    torch.save({"model": mamba2(), "args": {"tensor_model_parallel_size": 4}}, alone)
    with open_checkpoint(alone) as checkpoint:
        assert "rank 2 of 4, 1/4 of the heads" in checkpoint.notes[0]


def test_the_last_checkpoint_of_a_run_is_found(tmp_path):
    megatron(tmp_path / "megatron" / "iter_0000010")
    (tmp_path / "megatron" / "latest_checkpointed_iteration.txt").write_text("10\n")
    deepspeed(tmp_path / "global_step500", count=1)
    (tmp_path / "latest").write_text("global_step500")
    with open_checkpoint(tmp_path / "megatron") as checkpoint:
        assert len(checkpoint.ranks) == 2
    with open_checkpoint(tmp_path) as checkpoint:  # ZeRO-1 or 2: the weights are whole
        assert checkpoint.container == "torch-zip"
        assert checkpoint.notes == ()
    (tmp_path / "latest").write_text("../../etc")
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        open_checkpoint(tmp_path)


def test_ranks_that_do_not_fit_together(tmp_path):
    stages = megatron(tmp_path / "stages", 2, "_000")
    megatron(stages, 2, "_001")
    gap = megatron(tmp_path / "gap", 3)
    (gap / "mp_rank_01" / "model_optim_rng.pt").unlink()
    (gap / "mp_rank_01").rmdir()
    empty = megatron(tmp_path / "empty")
    (empty / "mp_rank_01" / "model_optim_rng.pt").unlink()
    other = megatron(tmp_path / "other")
    torch.save({"model": {"x": torch.ones(1)}}, other / "mp_rank_01" / "model_optim_rng.pt")
    broken = megatron(tmp_path / "broken")
    (broken / "mp_rank_01" / "model_optim_rng.pt").write_bytes(b"PK\x03\x04")
    for folder, words in [
        (stages, r"2 pipeline stages.*tools/checkpoint/convert\.py"),
        (gap, "2 ranks, but not rank 1"),
        (empty, "holds no model_optim_rng.pt"),
        (other, r"rank 1 of .* holds no part of .*A_log"),
        (broken, "no whole zip archive"),
    ]:
        with pytest.raises(CheckpointError, match=words):
            analyze(folder)


# ZeRO-3, laid out as deepspeed/utils/zero_to_fp32.py takes it apart.

FROZEN = {"embed.weight": torch.arange(10.0).reshape(5, 2).bfloat16()}
BUFFERS = {"rotary.inv_freq": torch.linspace(0, 1, 3)}


def zero3(folder, ranks=3, bounds=(0.4,)):
    """Write every rank's files; `bounds` are where a rank's row is cut into flat groups."""
    folder.mkdir()
    parameters = {"backbone." + name: tensor for name, tensor in mamba2().items()}
    for rank in range(ranks):
        row = torch.cat([fragment(tensor, rank, ranks) for tensor in parameters.values()])
        cuts = [0, *(int(bound * len(row)) for bound in bounds), len(row)]
        groups = [row[a:b].clone() for a, b in pairwise(cuts)]
        shapes = [{name: tensor.shape} for name, tensor in parameters.items()]
        model = {
            "module": {name: torch.empty(0) for name in parameters} | BUFFERS,
            "buffer_names": list(BUFFERS),
            "param_shapes": shapes,
            "frozen_param_shapes": {name: tensor.shape for name, tensor in FROZEN.items()},
            "frozen_param_fragments": {n: fragment(t, rank, ranks) for n, t in FROZEN.items()},
            "shared_params": {},
            "ds_version": "0.19.8",
        }
        optimizer = {"zero_stage": 3, "partition_count": ranks, "fp32_flat_groups": groups}
        name = f"zero_pp_rank_{rank}_mp_rank_00_"
        torch.save(model, folder / f"{name}model_states.pt")
        torch.save({"optimizer_state_dict": optimizer}, folder / f"bf16_{name}optim_states.pt")
    return folder, parameters


def fragment(tensor, rank, ranks):
    share = math.ceil(tensor.numel() / ranks)
    padded = torch.cat([tensor.flatten(), tensor.new_zeros(share * ranks - tensor.numel())])
    return padded[rank * share : (rank + 1) * share].clone()


@pytest.mark.parametrize("ranks", [1, 2, 5])
@pytest.mark.parametrize("bounds", [(), (0.1, 0.103, 0.5)])
def test_fragments_are_joined_to_the_bit(tmp_path, ranks, bounds):
    folder, parameters = zero3(tmp_path / "run", ranks, bounds)
    with open_checkpoint(folder) as checkpoint:
        assert checkpoint.container == "deepspeed-zero3"
        assert set(checkpoint.tensors) == {*parameters, *FROZEN, *BUFFERS}
        for name, tensor in (parameters | BUFFERS).items():
            np.testing.assert_array_equal(checkpoint.load(name), tensor.numpy(), strict=True)
        frozen = checkpoint.read("embed.weight")
        np.testing.assert_array_equal(frozen, FROZEN["embed.weight"].double().numpy())
    expected = analyze({name: tensor.numpy() for name, tensor in parameters.items()})
    assert analyze(folder).layers[0].metrics == expected.layers[0].metrics


def test_fragments_that_do_not_add_up(tmp_path):
    def changed(name, path, change):
        folder, _ = zero3(tmp_path / name)
        state = torch.load(folder / path)
        change(state)
        torch.save(state, folder / path)
        return folder

    model = "zero_pp_rank_{}_mp_rank_00_model_states.pt"
    optimizer = "bf16_zero_pp_rank_{}_mp_rank_00_optim_states.pt"
    lone, _ = zero3(tmp_path / "lone")
    (lone / optimizer.format(1)).unlink()
    both, _ = zero3(tmp_path / "both")
    (both / model.format(1).replace("rank_00", "rank_01")).write_bytes(b"x")
    huge = torch.Size([2**40, 2**40])
    cases = [
        (lone, "its optim states are not all there"),
        (both, "by tensor parallelism and by ZeRO-3; run the"),
        (changed("more", model.format(0), lambda s: s["param_shapes"].append({"x": huge})), "take"),
        (changed("none", model.format(0), lambda s: s.pop("param_shapes")), "take 0 elements"),
        (
            changed("frozen", model.format(2), lambda s: s["frozen_param_fragments"].clear()),
            "fragments of embed.weight",
        ),
        (
            changed(
                "groups",
                optimizer.format(2),
                lambda s: s["optimizer_state_dict"]["fp32_flat_groups"].pop(),
            ),
            "no flat groups, or different ones",
        ),
    ]
    for folder, words in cases:
        with bounded(20, 2.0), pytest.raises(CheckpointError, match=words):
            open_checkpoint(folder)


def test_seeded_mutations_end_in_numbers_or_one_sentence(tmp_path):
    chance = random.Random(0)
    folders = [megatron(tmp_path / "megatron"), zero3(tmp_path / "zero", 2)[0]]
    outcomes = {"read": 0, "refused": 0}
    for _ in range(80):
        folder = chance.choice(folders)
        file = chance.choice(sorted(folder.rglob("*.pt")))
        before = file.read_bytes()
        content = bytearray(before)
        for _ in range(chance.randint(1, 6)):
            content[chance.randrange(min(len(content), 1500))] = chance.randrange(256)
        file.write_bytes(content)
        try:
            with open_checkpoint(folder) as split:
                checkpoint = whole(split)
                for name in checkpoint.tensors:
                    if "proj" not in name:
                        checkpoint.load(name)
            outcomes["read"] += 1
        except CheckpointError:
            outcomes["refused"] += 1
        file.write_bytes(before)
    assert min(outcomes.values()) > 5


def test_a_nan_in_a_tensor_split_along_an_unknown_axis_is_found_on_its_rank(tmp_path):
    folder = megatron(tmp_path / "run")
    file = folder / "mp_rank_01" / "model_optim_rng.pt"
    content = torch.load(file, weights_only=True)
    content["model"]["decoder.layers.0.mixer.in_proj.weight"][3, 2] = math.nan
    torch.save(content, file)
    report = analyze(folder)
    said = [finding.message for finding in report.findings if finding.code == "STB002"]
    assert len(said) == 1
    assert "in_proj.weight of rank 1 holds 1 NaN in 76 numbers (the first at [3, 2])" in said[0]
    assert not any("not looked through" in note for note in report.assumptions)
