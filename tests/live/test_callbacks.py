"""The monitor in Lightning's and transformers' own trainers, on a tiny model and the CPU."""

import csv
import json
import subprocess
import sys
import warnings

import pytest
import torch

from ssmspec.live.monitor import UnhealthySpectrumError
from ssmspec.results.trajectory import load_trajectory
from tests.examples.monitor import Model, log_poles

EXAMPLES = 8


class Listening(Model):
    """A model whose loss pulls its frequencies together, so that poles move."""

    def loss(self):
        return sum((layer.A_imag - 1.0).square().mean() for layer in self.layers)


def steps_in(folder):
    with (folder / "spectrum.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["layer"] for row in rows} == {"layers.0", "layers.1"}
    return [int(row["step"]) for row in rows if row["layer"] == "layers.0"]


def explode(model):
    with torch.no_grad():
        model.layers[0].log_dt.fill_(float("nan"))


@pytest.fixture
def lightning():
    with warnings.catch_warnings():  # of its own imports
        warnings.simplefilter("ignore", DeprecationWarning)
        module = pytest.importorskip("pytorch_lightning")
        from ssmspec.live.callbacks.lightning import SpectrumCallback
    return module, SpectrumCallback


def fit(lightning, callback, folder, *, steps, accumulate=1, resume=None, broken_at=None):
    module, _ = lightning

    class Learner(module.LightningModule):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.net = Listening()

        def training_step(self, batch, index):
            if self.global_step == broken_at:
                explode(self.net)
            return self.net.loss()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    learner = Learner()
    data = torch.utils.data.DataLoader(torch.zeros(EXAMPLES, 1), batch_size=1)
    trainer = module.Trainer(
        accelerator="cpu", devices=1, max_steps=steps, accumulate_grad_batches=accumulate,
        default_root_dir=folder, callbacks=[callback], logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    with warnings.catch_warnings():  # it advises more workers for the loader
        warnings.filterwarnings("ignore", module="pytorch_lightning")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")
        trainer.fit(learner, data, ckpt_path=resume)
    return trainer, learner.net


def test_lightning(lightning, tmp_path):
    callback = lightning[1](every=3, folder=tmp_path / "run", layers="net.*", seq_len=64)
    _, model = fit(lightning, callback, tmp_path, steps=7)
    assert [look.step for look in callback.monitor.looks] == [0, 3, 6, 7]
    paths = load_trajectory(tmp_path / "run" / "trajectory.npz")
    assert paths.steps.tolist() == [0, 3, 6, 7]
    assert [layer.name for layer in paths.layers] == ["net.layers.0", "net.layers.1"]
    expected = abs(log_poles(model.layers[1]).imag)
    assert paths.layers[1].omega[-1] == pytest.approx(expected, rel=1e-6)
    assert callback.monitor.looks[-1].layers[0].number("poles_moved") > 0


def test_lightning_counts_optimizer_steps(lightning, tmp_path):
    callback = lightning[1](every=2)
    fit(lightning, callback, tmp_path, steps=6, accumulate=2)
    assert [look.step for look in callback.monitor.looks] == [0, 2, 4, 6]


def test_lightning_resumes(lightning, tmp_path):
    kind = lightning[1]
    whole, first, second = kind(every=2), kind(every=2), kind(every=2)
    fit(lightning, whole, tmp_path, steps=6)
    trainer, _ = fit(lightning, first, tmp_path, steps=4)
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    fit(lightning, second, tmp_path, steps=6, resume=tmp_path / "half.ckpt")
    assert [look.step for look in second.monitor.looks] == [0, 2, 4, 6]
    assert second.monitor.state_dict() == whole.monitor.state_dict()


def test_lightning_stops_and_saves(lightning, tmp_path):
    callback = lightning[1](every=2, folder=tmp_path / "run", raise_on="error")
    with pytest.raises(UnhealthySpectrumError, match=r"step 6: net\.layers\.0: STB002"):
        fit(lightning, callback, tmp_path, steps=8, broken_at=5)
    assert (tmp_path / "run" / "spectrum.csv").exists()
    callback = lightning[1](every=100, folder=tmp_path / "other")

    class BrokenError(Exception):
        pass

    def broken(*_):
        raise BrokenError

    callback.on_train_batch_end = broken
    with pytest.raises(BrokenError):
        fit(lightning, callback, tmp_path, steps=8)
    assert (tmp_path / "other" / "spectrum.csv").exists()


@pytest.fixture
def transformers():
    module = pytest.importorskip("transformers")
    from ssmspec.live.callbacks.transformers import SpectrumCallback

    return module, SpectrumCallback


def train(transformers, callback, folder, *, steps, resume=None, broken_at=None, restore=False):
    module, kind = transformers

    class Learner(Listening):
        def __init__(self):
            torch.manual_seed(0)
            super().__init__()
            self.batches = 0

        def forward(self, x):
            del x
            self.batches += 1
            if self.batches == broken_at:
                explode(self)
            return {"loss": self.loss()}

    arguments = module.TrainingArguments(
        output_dir=str(folder), max_steps=steps, per_device_train_batch_size=1, use_cpu=True,
        report_to=[], disable_tqdm=True, save_steps=4, learning_rate=0.1, optim="sgd",
        lr_scheduler_type="constant", dataloader_pin_memory=False, logging_strategy="no",
        restore_callback_states_from_checkpoint=restore,
    )  # fmt: skip
    model = Learner()
    data = [{"x": torch.zeros(1)} for _ in range(EXAMPLES)]
    trainer = module.Trainer(
        model=model, args=arguments, train_dataset=data, callbacks=[callback] if callback else []
    )
    trainer.train(resume_from_checkpoint=resume)
    # With `restore` it makes a callback anew from the checkpoint.
    found = [kept for kept in trainer.callback_handler.callbacks if isinstance(kept, kind)]
    return found[0] if found else None, model


def test_transformers(transformers, tmp_path):
    callback = transformers[1](every=3, folder=tmp_path / "run", seq_len=64)
    _, model = train(transformers, callback, tmp_path / "out", steps=7)
    assert steps_in(tmp_path / "run") == [0, 3, 6, 7]
    paths = load_trajectory(tmp_path / "run" / "trajectory.npz")
    expected = abs(log_poles(model.layers[0]).imag)
    assert paths.layers[0].omega[-1] == pytest.approx(expected, rel=1e-6)
    assert callback.monitor.looks[-1].layers[0].number("poles_moved") > 0


@pytest.mark.parametrize("restore", [False, True])
def test_transformers_resumes(transformers, tmp_path, restore):
    kind = transformers[1]
    whole, _ = train(transformers, kind(every=2), tmp_path / "whole", steps=8)
    train(transformers, kind(every=2), tmp_path / "half", steps=4)
    checkpoint = tmp_path / "half" / "checkpoint-4"
    json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    later, _ = train(
        transformers, kind(every=2), tmp_path / "later", steps=8, resume=str(checkpoint),
        restore=restore,
    )  # fmt: skip
    assert [look.step for look in later.monitor.looks] == [0, 2, 4, 6, 8]
    assert later.monitor.state_dict() == whole.monitor.state_dict()


def test_transformers_resumes_a_run_that_had_no_monitor(transformers, tmp_path):
    train(transformers, None, tmp_path / "half", steps=4)
    callback = transformers[1](every=2)
    train(
        transformers, callback, tmp_path / "later", steps=8,
        resume=str(tmp_path / "half" / "checkpoint-4"),
    )  # fmt: skip
    assert [look.step for look in callback.monitor.looks] == [4, 6, 8]


def test_transformers_stops(transformers, tmp_path):
    callback = transformers[1](every=2, folder=tmp_path / "run", raise_on="error")
    with pytest.raises(UnhealthySpectrumError, match=r"step 6: layers\.0: STB002"):
        train(transformers, callback, tmp_path / "out", steps=8, broken_at=5)
    assert steps_in(tmp_path / "run") == [0, 2, 4, 6]


@pytest.mark.parametrize(
    ("module", "hidden", "told"),
    [
        ("lightning", ("lightning", "pytorch_lightning"), "pip install lightning"),
        ("transformers", ("transformers",), "pip install transformers"),
    ],
)
def test_a_missing_library_is_named(module, hidden, told):
    script = (
        "import sys\n"
        f"for name in {hidden!r}: sys.modules[name] = None\n"
        "from ssmspec import SsmspecError\n"
        f"try: import ssmspec.live.callbacks.{module}\n"
        "except ImportError as error:\n"
        "    assert isinstance(error, SsmspecError)\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert told in done.stdout
    assert len(done.stdout.splitlines()) == 1
