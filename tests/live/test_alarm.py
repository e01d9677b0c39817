"""A training run that goes bad: the monitor names step and layer before the loss is NaN."""

import math

import numpy as np
import pytest
import torch

from ssmspec.live.monitor import SpectrumMonitor, UnhealthySpectrumError
from ssmspec.outcome import Level
from tests.examples.monitor import Model, nudge

LENGTH = 200
EVERY = 5


class Recurrence(torch.nn.Module):
    """A scalar S5 layer whose Re A nothing keeps negative: x' = exp(dt A) x + u, y = Re C x."""

    def __init__(self):
        super().__init__()
        self.Lambda_re = torch.nn.Parameter(torch.tensor([-0.5]))
        self.Lambda_im = torch.nn.Parameter(torch.tensor([-1.0]))
        self.log_step = torch.nn.Parameter(torch.log(torch.tensor([[0.05]])), requires_grad=False)
        self.C = torch.nn.Parameter(torch.ones(1, 1, 2))

    def forward(self):
        """The response to an impulse, (LENGTH,)."""
        log_pole = torch.exp(self.log_step[0]) * torch.complex(self.Lambda_re, self.Lambda_im)
        powers = torch.exp(log_pole * torch.arange(LENGTH))
        return (torch.view_as_complex(self.C)[0] * powers).real


class Run:
    """A plain loop whose loss rewards a loud response: nothing keeps the decay from passing 0.

    Attributes:
        losses: before each step.
        decays: likewise, nat/sample.
        nan_step: steps taken when the loss was first NaN or infinite.
    """

    def __init__(self, **options):
        self.model = torch.nn.ModuleDict({"memory": Recurrence()})
        self.monitor = SpectrumMonitor(self.model, every=EVERY, seq_len=LENGTH, **options)
        self.losses = []
        self.decays = []
        self.nan_step = None

    def train(self, steps=400):
        memory = self.model["memory"]
        optimizer = torch.optim.SGD(memory.parameters(), lr=0.05)
        self.monitor.step(0)
        for step in range(1, steps + 1):
            self.decays.append(-memory.Lambda_re.item() * memory.log_step.exp().item())
            loss = -memory().square().mean()
            self.losses.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_value_(memory.parameters(), 1.0)
            optimizer.step()
            if not math.isfinite(loss.item()):
                self.nan_step = step - 1
                self.monitor.look(step)
                return
            self.monitor.step(step)


@pytest.fixture(scope="module")
def bad_run():
    run = Run()
    run.train()
    return run


def test_the_run_does_go_bad(bad_run):
    assert bad_run.nan_step is not None
    assert bad_run.nan_step > 10 * EVERY
    assert bad_run.decays[0] > 0.02


def test_growth_is_named_before_the_loss_is_nan(bad_run):
    event = next(e for e in bad_run.monitor.events if e.finding.code == "STB001")
    assert event.finding.layer == "memory"
    assert event.finding.level is Level.ERROR
    # The rule asks for 1 % over the sequence; the first look after that must have told.
    grows = np.array(bad_run.decays) * LENGTH < -math.log(1.01)
    first = int(np.flatnonzero(grows)[0])
    assert event.since < first <= event.step
    assert event.step - event.since == EVERY
    assert event.step < 0.5 * bad_run.nan_step
    assert math.isfinite(bad_run.losses[event.step])


def test_the_nan_is_named_too_and_leaves_no_number(bad_run):
    last = bad_run.monitor.looks[-1]
    assert last.step == bad_run.nan_step + 1
    assert [finding.code for finding in bad_run.monitor.findings] == ["STB002"]
    (layer,) = last.layers
    assert layer.codes == ("STB002",)
    assert all(value is None for value in layer.values if not isinstance(value, str))
    summary = bad_run.monitor.summary()
    assert "STB001 error" in summary
    assert "STB002 error" in summary
    assert "nan" not in summary.replace("NaN or infinite", "").lower()


def test_a_monitor_can_stop_the_loop_and_saves_first(tmp_path, bad_run):
    run = Run(folder=tmp_path, raise_on="error")
    with pytest.raises(UnhealthySpectrumError, match=r"^step \d+: memory: STB001: ") as raised:
        run.train()
    expected = next(e for e in bad_run.monitor.events if e.finding.code == "STB001")
    assert raised.value.step == expected.step == run.monitor.looks[-1].step
    assert raised.value.findings == (expected.finding,)
    text = str(raised.value)
    assert f"It was not so at step {expected.since}." in text
    assert text.endswith("tells what came before.")
    rows = (tmp_path / "spectrum.csv").read_text().splitlines()
    assert len(rows) == 1 + len(run.monitor.looks)
    assert rows[-1].endswith("STB001")
    assert (tmp_path / "trajectory.npz").exists()


def test_why_a_run_stops_is_told_even_where_nothing_can_be_saved(tmp_path):
    (tmp_path / "file").write_text("")
    run = Run(folder=tmp_path / "file" / "run", raise_on=Level.ERROR)
    with pytest.raises(UnhealthySpectrumError, match="STB001") as raised:
        run.train()
    assert "tells what came before" not in str(raised.value)


def test_raise_on_minds_the_level():
    model = Model(dt=0.2)  # some poles beyond Nyquist: a note
    SpectrumMonitor(model, raise_on="warning").look(0)
    with pytest.raises(UnhealthySpectrumError, match="findings more") as raised:
        SpectrumMonitor(model, raise_on="info").look(0)
    assert "ALI001" in {finding.code for finding in raised.value.findings}
    assert {finding.level for finding in raised.value.findings} == {Level.INFO}


def test_a_hook_hears_of_every_finding_once():
    model = Model()
    heard = []
    monitor = SpectrumMonitor(model, every=1, on_finding=lambda step, f: heard.append((step, f)))
    for step in range(4):
        with torch.no_grad():
            model.layers[1].A_imag *= 100.0 if step == 2 else 1.0
        monitor.step(step)
        nudge(model, step)
    new = [(step, finding.layer) for step, finding in heard if finding.code == "ALI001"]
    assert new == [(2, "layers.1")]
    assert [(event.step, event.finding) for event in monitor.events] == heard


def test_a_frozen_layer_is_told_of_but_not_before_training():
    model = Model()
    with torch.no_grad():  # poles of S4D-Lin, which the rule knows
        for layer in model.layers:
            layer.A_imag.copy_(torch.pi * torch.arange(3).expand(4, 3))
            layer.log_A_real.fill_(math.log(0.5))
    monitor = SpectrumMonitor(model, every=10)
    monitor.step(0)
    assert "INI001" not in {finding.code for finding in monitor.findings}
    with torch.no_grad():
        model.layers[1].A_imag += 0.3
    monitor.step(10)
    frozen = [finding.layer for finding in monitor.findings if finding.code == "INI001"]
    assert frozen == ["layers.0"]


def test_poles_beyond_single_precision_are_no_crash():
    model = Model(layers=1)
    monitor = SpectrumMonitor(model, every=1)
    monitor.step(0)
    with torch.no_grad():
        model.layers[0].log_A_real.fill_(200.0)
    look = monitor.step(1)
    assert look.layers[0].number("memoryless_fraction") == 1.0
    assert np.isinf(monitor.trajectory().layers[0].decay[1]).all()
    with torch.no_grad():
        model.layers[0].log_A_real.fill_(math.nan)
    monitor.step(2)
    assert [finding.code for finding in monitor.findings] == ["STB002"]
