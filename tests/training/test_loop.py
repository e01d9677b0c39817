"""What a step does, against a plain PyTorch loop; and what stops a run."""

import math
import os
import resource
import signal
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ssmspec.errors import UsageError
from ssmspec.training import DivergedError, session, train
from ssmspec.training.batches import step_indices
from ssmspec.training.data import load_data
from ssmspec.training.engine import choose_device, seed_step
from ssmspec.training.loop import Loop, Step
from ssmspec.training.model.stack import build_model
from ssmspec.training.recorder import Recorder
from ssmspec.training.resume_file import Best, Standing
from ssmspec.training.run_folder import read_config, read_document
from tests.examples.training_runs import FILES, left_in, rows_of, tensors, tiny

POLES = ("log_dt", "log_A_real", "A_imag", "log_xi", "theta")


def decays(name, recipe):
    """Written again by hand, by names alone."""
    if name.endswith((".C", ".D")):
        return recipe == "s4"
    return name.endswith("weight") and "norm" not in name


def plain_loop(config):
    """The same run in the words of a PyTorch tutorial: (losses, weights), dropout and all."""
    data = load_data(config)
    model = build_model(config.model, data, config.seed)
    optimizer = torch.optim.AdamW(
        [
            {
                "params": [parameter],
                "lr": 1e-3 if name.endswith(POLES) else config.lr,
                "weight_decay": config.weight_decay if decays(name, config.decayed) else 0.0,
            }
            for name, parameter in model.named_parameters()
        ]
    )
    warmup, steps = config.warmup_steps, config.max_steps

    def factor(step):
        if step < warmup or config.schedule == "constant":
            return min(1.0, (step + 1) / warmup)
        return (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    losses = []
    for step in range(config.max_steps):
        indices = step_indices(len(data.train), config.batch_size, config.seed, step)
        batch = data.train.batch(indices)
        seed_step(config.seed, step, 0)
        loss = torch.nn.functional.cross_entropy(
            model(torch.from_numpy(batch.x)), torch.from_numpy(batch.y)
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses, {name: value.numpy() for name, value in model.state_dict().items()}


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad:UserWarning")
@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ({}, {}),
        ({"tie_dropout": True, "norm": "batch"}, {"decayed": "s4", "schedule": "cosine"}),
        ({"scheme": "s4d-lin", "bidirectional": True, "prenorm": False}, {"weight_decay": 0.1}),
        ({"scheme": "lru-ring", "tie_dropout": True, "n_layers": 2}, {"decayed": "s4"}),
    ],
    ids=["dfout", "s4-recipe", "s4d-lin", "lru-ring"],
)
def test_a_run_is_that_of_a_plain_loop(tmp_path, model, settings):
    usual = {"log_every": 1, "max_steps": 60, "eval_every": 60, "spectrum_every": 0}
    config = tiny(model, **usual, **settings)
    before = torch.get_rng_state()
    with torch.random.fork_rng():
        losses, weights = plain_loop(config)
    result = train(config, tmp_path / "run")
    ours = [row.loss for row in result.rows if row.split == "train"]
    assert ours == pytest.approx(losses, abs=1e-5)
    saved = tensors(tmp_path / "run" / "model.safetensors")
    for name, value in weights.items():
        np.testing.assert_allclose(saved[name], value, rtol=1e-4, atol=1e-4, err_msg=name)
    assert torch.equal(torch.get_rng_state(), before)  # the caller's random numbers are his own


@pytest.fixture
def late(monkeypatch):
    """As on a GPU: a step's numbers are read when the next one is under way."""
    monkeypatch.setattr(session, "Loop", lambda **given: Loop(**{**given, "late": 1}))


def test_numbers_read_late_are_the_same_numbers(tmp_path, late):
    del late
    train(tiny(), tmp_path / "late")
    with pytest.raises(KeyboardInterrupt, match="stopped after step 8 and saved"):
        train(tiny(), tmp_path / "stopped", on_progress=interrupted_at(6))
    train(tiny(), tmp_path / "stopped", resume=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "Loop", Loop)
        train(tiny(), tmp_path / "plain")
    plain = left_in(tmp_path / "plain")
    assert left_in(tmp_path / "late") == plain
    assert left_in(tmp_path / "stopped") == plain


def test_what_is_noticed_late_is_not_saved(tmp_path, late):
    del late
    with pytest.raises(DivergedError, match="the last good checkpoint is") as stop:
        train(tiny(lr=1e30, clip=None, save_every=1, max_steps=200), tmp_path / "run")
    state = torch.load(tmp_path / "run" / "resume.pt", weights_only=True)
    assert state["step"] == stop.value.step - 1
    assert all(value.isfinite().all() for value in state["model"].values())


def interrupted_at(step):
    """A progress callback that sends Ctrl-C once."""

    def on_progress(progress):
        if progress.step == step:
            os.kill(os.getpid(), signal.SIGINT)

    return on_progress


def test_accumulated_parts_make_the_same_step(tmp_path):
    config = {"model": {"dropout": 0.0}, "log_every": 1}
    whole = train(tiny(**config), tmp_path / "whole")
    parts = train(tiny(**config, accumulate=4), tmp_path / "parts")
    for one, other in zip(whole.rows, parts.rows, strict=True):
        assert (one.step, one.split) == (other.step, other.split)
        assert one.loss == pytest.approx(other.loss, abs=1e-5)


def test_the_same_arguments_give_the_same_bytes_and_another_seed_does_not(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(tiny(seed=seed, max_steps=3), tmp_path / name)
    a, b, c = (left_in(tmp_path / name) for name in "abc")
    assert a == b
    assert all(a[key] != c[key] for key in a)


def test_rows_average_and_evaluations_come_on_time(tmp_path):
    singly = train(tiny(log_every=1), tmp_path / "singly").rows
    thrice = train(tiny(log_every=3), tmp_path / "thrice").rows
    each = [row for row in singly if row.split == "train"]
    mean = [row for row in thrice if row.split == "train"]
    assert [row.step for row in each] == list(range(1, 13))
    assert [row.step for row in mean] == [3, 6, 9, 12]
    for row in mean:
        own = each[row.step - 3 : row.step]
        assert row.loss == pytest.approx(np.mean([item.loss for item in own]), rel=1e-9)
        assert row.metric == pytest.approx(np.mean([item.metric for item in own]), rel=1e-9)
        assert row.grad_norm == pytest.approx(np.mean([item.grad_norm for item in own]), rel=1e-9)
    assert [row.lr for row in each][:4] == pytest.approx([0.004 / 3, 0.008 / 3, 0.004, 0.004])
    assert [row.step for row in thrice if row.split == "validation"] == [5, 10, 12]
    assert [row.epoch for row in thrice] == [1] * len(thrice)


def test_the_best_model_is_the_one_that_is_tested(tmp_path):
    config = tiny(max_steps=40, lr=0.02)
    result = train(config, tmp_path)
    checks = [row for row in result.rows if row.split == "validation"]
    best = max(checks, key=lambda row: row.metric)
    assert (result.best_metric, result.best_step) == (best.metric, best.step)
    data = load_data(config)
    model = build_model(config.model, data, 0).eval()
    stored = tensors(tmp_path / "best.safetensors")
    model.load_state_dict({name: torch.from_numpy(value) for name, value in stored.items()})
    test = data.test.batch(np.arange(len(data.test)))
    answers = model(torch.from_numpy(test.x)).argmax(-1).numpy()
    assert result.test_metric == pytest.approx((answers == test.y).mean())
    assert rows_of(tmp_path)[-1]["split"] == "test"
    assert result.rows[-1].epoch == (best.step - 1) // 39 + 1


def test_what_a_run_leaves_and_says_of_itself(tmp_path):
    config = tiny()
    train(config, tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").iterdir()} == FILES
    assert read_config(tmp_path / "run") == config
    document = read_document(tmp_path / "run")
    assert (document["seq_len"], document["row_stride"], document["metric"]) == (64, 8, "accuracy")
    assert (document["steps_per_epoch"], document["steps"], document["pole_lr"]) == (39, 12, 1e-3)
    stored = tensors(tmp_path / "run" / "model.safetensors")
    assert document["parameters"] == sum(
        value.size for name, value in stored.items() if not name.endswith("unit_energy")
    )


def test_to_resume_and_to_replace_at_once(tmp_path):
    with pytest.raises(UsageError, match="choose one of them"):
        train(tiny(), tmp_path, resume=True, force=True)


def test_nothing_that_is_there_is_replaced_unless_it_is_a_runs(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"is not empty; choose another folder, --resume"):
        train(tiny(), tmp_path)
    train(tiny(max_steps=2), tmp_path, force=True)
    train(tiny(max_steps=3, spectrum_every=0), tmp_path, force=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == FILES - {
        "spectrum.csv",
        "trajectory.npz",
    } | {"notes.txt"}


@pytest.mark.parametrize("lr", [1e8, 1e30])
def test_a_loss_that_is_no_number_stops_the_run_and_harms_nothing(tmp_path, lr):
    seen = []
    config = tiny(lr=lr, clip=None, save_every=1, max_steps=200)

    def on_progress(progress):
        seen.append(progress.step)
        files[progress.step] = (tmp_path / "run" / "model.safetensors").read_bytes()

    files = {}
    with pytest.raises(DivergedError) as stop:
        train(config, tmp_path / "run", on_progress=on_progress)
    last = seen[-1]
    assert stop.value.step == last + 1
    assert f"at step {last + 1}; the last good checkpoint is" in str(stop.value)
    assert f"model.safetensors, of step {last}" in str(stop.value)
    state = torch.load(tmp_path / "run" / "resume.pt", weights_only=True)
    assert state["step"] == last
    assert all(value.isfinite().all() for value in state["model"].values())


@pytest.mark.parametrize(
    ("loss", "norm", "scaler", "what"),
    [
        (math.nan, 1.0, None, "the loss became nan at step 8"),
        (math.inf, 1.0, object(), "the loss became inf at step 8"),
        (1.0, math.inf, None, "the norm of the gradient became inf at step 8"),
        (1.0, math.inf, object(), None),  # fp16: the scaler skips the step and goes on
        (1.0, 1.0, None, None),
    ],
)
def test_what_counts_as_diverged(loss, norm, scaler, what):
    loop = object.__new__(Loop)
    for name, value in (
        ("standing", Standing(step=7)),
        ("accelerator", SimpleNamespace(scaler=scaler)),
        ("recorder", SimpleNamespace(last_before=lambda *_: "a file, of step 6")),
    ):
        object.__setattr__(loop, name, value)
    step = Step(loss=loss, metric=0.0, norm=norm, signal=0)
    if what is None:
        loop._require_finite(step)
    else:
        with pytest.raises(DivergedError, match=what):
            loop._require_finite(step)


@pytest.mark.parametrize(
    ("saved", "best", "name"),
    [
        (9, None, "model.safetensors, of step 9"),
        (10, Best(4, 0.5, {}), "best.safetensors, of step 4"),
        (10, None, "initial.safetensors, of step 0"),
    ],
)
def test_a_checkpoint_of_the_step_that_diverged_is_no_good_one(tmp_path, saved, best, name):
    recorder = Recorder(tmp_path, None, None, None, {})
    recorder.saved = saved
    assert recorder.last_before(10, Standing(step=10, best=best)).endswith(name)


def test_a_full_disk_leaves_what_was_there(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = {}

    def fill(progress):
        if progress.step == 7:
            before.update({path.name: path.read_bytes() for path in tmp_path.iterdir()})
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))

    try:
        with pytest.raises(UsageError, match=r"cannot be written: File too large"):
            train(tiny(), tmp_path, on_progress=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_state_that_does_not_fit_on_the_disk(tmp_path):
    # Weights and tables still fit, resume.pt does not: torch's own writer meets the limit.
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(progress):
        if progress.step == 7:
            sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
            state = sizes.pop("resume.pt")
            assert state > 1.2 * max(sizes.values())  # room for a table to grow
            resource.setrlimit(resource.RLIMIT_FSIZE, (state - 1, limits[1]))

    try:
        with pytest.raises(UsageError, match=r"resume.pt cannot be written"):
            train(tiny(), tmp_path, on_progress=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert torch.load(tmp_path / "resume.pt", weights_only=True)["step"] == 5
    train(tiny(), tmp_path, resume=True)
    train(tiny(), whole := tmp_path / "whole")
    assert left_in(tmp_path) == left_in(whole)


def test_a_table_that_cannot_be_written(tmp_path):
    def spoil(progress):
        if progress.step == 3:
            (tmp_path / "metrics.csv").unlink()
            (tmp_path / "metrics.csv").mkdir()

    with pytest.raises(UsageError, match=r"metrics.csv is no regular file"):
        train(tiny(), tmp_path, on_progress=spoil)
    with pytest.raises(UsageError, match=r"metrics.csv is a folder; remove it"):
        train(tiny(), tmp_path, force=True)
    (tmp_path / "metrics.csv").rmdir()
    train(tiny(), tmp_path, resume=True)


def test_bf16_trains_and_keeps_float32_weights(tmp_path):
    losses = {}
    for precision in ("bf16", "fp32"):
        rows = train(tiny(precision=precision, log_every=1), tmp_path / precision).rows
        losses[precision] = [row.loss for row in rows if row.split == "train"]
    assert losses["bf16"] != losses["fp32"]  # 8 binary digits were really used
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=2e-2)
    saved = tensors(tmp_path / "bf16" / "model.safetensors")
    kinds = {name: value.dtype for name, value in saved.items()}
    assert set(kinds.values()) == {np.dtype("float32"), np.dtype("bool")}


@pytest.mark.parametrize(
    ("settings", "device", "message"),
    [
        ({"precision": "fp16"}, "cpu", "fp16 needs a GPU"),
        ({}, "tpu", "no device is called 'tpu'; did you mean 'cpu'"),
        ({"batch_size": 4000}, "cpu", r"1,257 examples and a batch takes 4,000"),
        ({"batch_size": 10, "accumulate": 4}, "cpu", "cannot be cut into 4 equal parts"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_written(
    tmp_path, settings, device, message
):
    with pytest.raises(UsageError, match=message):
        train(tiny(**settings), tmp_path / "run", device=device)
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_no_gpu():
    assert choose_device(None) == "cpu"
    with pytest.raises(UsageError, match="there is no CUDA device here"):
        choose_device("cuda")


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    for folder, message in (
        (tmp_path / "file" / "run", "cannot be used"),
        (tmp_path / "file", "no folder"),
    ):
        with pytest.raises(UsageError, match=message):
            train(tiny(), folder)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
