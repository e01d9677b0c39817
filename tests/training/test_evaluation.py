"""Evaluation of trained folders; each changed model is set against one changed by hand in its file.

A run at half the rate must answer as a run whose file was rewritten for that rate and whose data
were thinned out by numpy; a run with one tap, as a run whose poles are silent and whose D has K[0].
"""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from sklearn.metrics import f1_score

from ssmspec.cli import run as run_command
from ssmspec.errors import CheckpointError, UsageError
from ssmspec.schemes import SchemeOptions
from ssmspec.training import ModelConfig, TrainConfig, evaluate, train
from ssmspec.training.config import InputGain
from ssmspec.training.data import load_data
from ssmspec.training.tasks.base import Batch, Data, Target
from ssmspec.training.tasks.decimation import decimated
from ssmspec.writers.base import Page
from ssmspec.writers.evaluation import EVALUATION_WRITERS
from tests.examples.training_runs import tiny

LENGTH, CLASSES = 24, 3


def arrays(*, length=LENGTH, seed=0):
    rng = np.random.default_rng(seed)
    whole = {}
    for part, count in (("", 16), ("_val", 12), ("_test", 20)):
        whole[f"x{part}"] = rng.normal(size=(count, length, 1)).astype(np.float32)
        whole[f"y{part}"] = rng.integers(0, CLASSES, count)
        whole[f"lengths{part}"] = rng.integers(length // 2, length + 1, count)
    return whole


def trained(folder, scheme, data=None, **model):
    """A run of four steps on an `npz` task; the learning rate moves its poles well away."""
    np.savez(folder / "data.npz", **(arrays() if data is None else data))
    config = TrainConfig(
        "npz", data=folder / "data.npz", max_steps=4, batch_size=8, lr=0.05, ssm_lr=0.05,
        task_settings=(("sample_rate", "8000"),), spectrum_every=0,
        model=ModelConfig(scheme=scheme, d_model=6, d_state=8, n_layers=2, **model),
    )  # fmt: skip
    return train(config, folder / "run")


@pytest.fixture(scope="module")
def s4d(tmp_path_factory):
    folder = tmp_path_factory.mktemp("s4d")
    wide = SchemeOptions(dt_min=0.05, dt_max=0.9)  # some poles alias, at lower rates more
    return folder, trained(folder, "s4d-lin", options=wide, dropout=0.3)


@pytest.fixture(scope="module")
def dfout(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dfout")
    return folder, trained(folder, "dfout", bidirectional=True)


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    folder = tmp_path_factory.mktemp("held")
    return folder, trained(folder, "dfout", input_gain=InputGain.ZOH)


def rewritten(folder, target, change):
    """A copy of a run whose tensors were changed, layer by layer."""
    shutil.copytree(folder / "run", target)
    tensors = load_file(target / "best.safetensors")
    for i in range(2):
        name = f"blocks.{i}.ssm."
        layer = {
            key.removeprefix(name): value for key, value in tensors.items() if key.startswith(name)
        }
        tensors |= {f"{name}{key}": value for key, value in change(layer).items()}
    stored = {key: np.array(value, order="C") for key, value in tensors.items()}
    save_file(stored, target / "best.safetensors", metadata={"format": "pt"})
    return target


def number(outcome):
    return outcome.value


def as_complex(pairs):
    return pairs[..., 0].astype(np.float64) + 1j * pairs[..., 1]


def as_pairs(values):
    return np.stack([values.real, values.imag], -1).astype(np.float32)


def poles_and_residues(layer):
    """Log-poles (H, M) and residues, from the formulas of the two layers."""
    c = as_complex(layer["C"])
    if "log_dt" in layer:
        a = -np.exp(layer["log_A_real"].astype(np.float64)) + 1j * layer["A_imag"]
        l = np.exp(layer["log_dt"].astype(np.float64))[:, None] * a  # noqa: E741
        return l, c * (np.exp(l) - 1) / a
    l = -np.exp(layer["log_xi"].astype(np.float64))[:, None] / 2 + 1j * layer["theta"]  # noqa: E741
    unit = np.sqrt(1 - np.exp(2 * l.real))
    return l, c * (unit if layer["unit_energy"] else np.abs((np.exp(l) - 1) / l))


def thinned(folder, factor):
    """The data with every so many samples only, as a file beside the original."""
    data = arrays()
    for part in ("", "_val", "_test"):
        data[f"x{part}"] = data[f"x{part}"][:, ::factor]
        data[f"lengths{part}"] = np.ceil(data[f"lengths{part}"] / factor).astype(int)
    path = folder / f"thinned{factor}.npz"
    np.savez(path, **data)
    return path


def same_scores(one, other):
    assert number(one.metric) == number(other.metric)
    assert number(one.loss) == pytest.approx(number(other.loss), rel=2e-6)


def test_as_trained_it_scores_what_training_said(s4d):
    folder, result = s4d
    test = evaluate(folder / "run")
    assert test.examples == test.answers == 20
    assert number(test.scores.metric) == result.test_metric
    assert number(evaluate(folder / "run", split="validation").scores.metric) == result.best_metric
    last = evaluate(folder / "run", which="last", split="validation", batch_size=5)
    row = [row for row in result.rows if row.split == "validation"][-1]
    assert number(last.scores.loss) == pytest.approx(row.loss, rel=1e-6)
    assert (test.sequence_length, test.sample_rate) == (LENGTH, 8000.0)


@pytest.mark.parametrize("factor", [2, 3])
def test_another_rate_of_continuous_poles_is_a_longer_step(s4d, tmp_path, factor):
    folder, _ = s4d
    slow = evaluate(folder / "run", resample=factor).resampled
    by_hand = rewritten(
        folder, tmp_path / "run", lambda layer: {"log_dt": layer["log_dt"] + np.log(factor)}
    )
    expected = evaluate(by_hand, data=thinned(tmp_path, factor))
    same_scores(slow.scores, expected.scores)
    assert number(slow.scores.loss) != number(evaluate(folder / "run").scores.loss)
    assert slow.sequence_length == expected.sequence_length == LENGTH // factor
    assert slow.sample_rate == 8000 / factor
    assert any(f"dt becomes {factor} dt" in rule for rule in slow.rules)


@pytest.mark.parametrize(("run", "factor"), [("dfout", 2), ("dfout", 3), ("held", 2)])
def test_another_rate_of_discrete_poles_is_their_power(run, request, tmp_path, factor):
    folder, _ = request.getfixturevalue(run)

    def slower(layer):
        l, residue = poles_and_residues(layer)  # noqa: E741
        # K[kR] + ... + K[kR + R - 1], summed lag by lag
        wanted = residue * sum(np.exp(i * l) for i in range(factor))
        new = {
            "log_xi": layer["log_xi"] + np.float32(np.log(factor)),
            "theta": layer["theta"] * factor,
        }
        gain = poles_and_residues({**layer, **new})[1] / as_complex(layer["C"])
        return {**new, "C": as_pairs(wanted / gain)}

    slow = evaluate(folder / "run", resample=factor).resampled
    by_hand = rewritten(folder, tmp_path / "run", slower)
    same_scores(slow.scores, evaluate(by_hand, data=thinned(tmp_path, factor)).scores)
    assert any(f"l^{factor}" in rule for rule in slow.rules)


def test_one_tap_is_a_feed_through(s4d, tmp_path):
    folder, _ = s4d

    def instant(layer):
        first = 2 * poles_and_residues(layer)[1].real.sum(-1)
        return {"C": np.zeros_like(layer["C"]), "D": (layer["D"] + first).astype(np.float32)}

    short = evaluate(folder / "run", kernel_taps=1).cut
    same_scores(short.scores, evaluate(rewritten(folder, tmp_path / "run", instant)).scores)


@pytest.mark.parametrize("run", ["s4d", "dfout"])
def test_taps_up_to_the_length_are_all_of_them(run, request):
    folder, _ = request.getfixturevalue(run)
    plain = evaluate(folder / "run").scores
    short, whole = (evaluate(folder / "run", kernel_taps=taps).cut for taps in (2, LENGTH))
    same_scores(whole.scores, plain)
    assert number(short.scores.loss) != number(plain.loss)
    assert [number(layer.energy) for layer in whole.layers] == pytest.approx([1.0, 1.0])
    assert all(0 < number(layer.energy) < 1 for layer in short.layers)


def test_what_a_cut_keeps_and_what_a_rate_aliases(s4d):
    folder, _ = s4d
    result = evaluate(folder / "run", kernel_taps=5, resample=4)
    tensors = load_file(folder / "run" / "best.safetensors")
    for i in range(2):
        name = f"blocks.{i}.ssm"
        layer = {key.removeprefix(f"{name}."): value for key, value in tensors.items()}
        l, residue = poles_and_residues(layer)  # noqa: E741
        kernel = 2 * sum(
            (residue[:, n, None] * np.exp(l[:, n, None] * np.arange(LENGTH))).real
            for n in range(l.shape[1])
        )
        energy = (kernel**2).sum(0)
        assert result.cut.layers[i].name == result.resampled.layers[i].name == name
        kept = number(result.cut.layers[i].energy)
        assert kept == pytest.approx(energy[:5].sum() / energy.sum(), rel=1e-5)
        aliased = result.resampled.layers[i]
        assert number(aliased.trained) == np.mean(np.abs(l.imag) > np.pi)
        assert number(aliased.resampled) == np.mean(4 * np.abs(l.imag) > np.pi)
    assert sum(number(layer.resampled) for layer in result.resampled.layers) > 0


def test_progress_runs_over_every_test(s4d):
    calls = []
    evaluate(s4d[0] / "run", resample=2, kernel_taps=3, progress=lambda *told: calls.append(told))
    assert calls[0] == (8, 60)
    assert calls[-1] == (60, 60)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_a_model_that_answers_nan_has_no_score(s4d, tmp_path):
    by_hand = rewritten(
        s4d[0], tmp_path / "run", lambda layer: {"log_dt": np.full_like(layer["log_dt"], np.nan)}
    )
    result = evaluate(by_hand, resample=2, kernel_taps=2)
    text = json.dumps(result.to_dict(), allow_nan=False)
    assert text.count("the model's answers are no numbers") == 8  # `cut` is the first of `cuts`
    assert result.classes is None
    assert "NaN or infinite" in text


def decimate(data, factor):
    return decimated(data, data.test, factor)


def made(**changes):
    """A data set of two examples whose samples count 0, 1, 2, ..."""
    x = np.tile(np.arange(7, dtype=np.float32)[None, :, None], (2, 1, 1))
    batch = Batch(x, changes.pop("y", np.array([0, 1])), changes.pop("lengths", None))

    class Two:
        def __len__(self):
            return 2

        def batch(self, indices):
            del indices
            return batch

    split = Two()
    settings = {"target": Target.CLASS, "d_input": 1, "d_output": 2, "seq_len": 7, **changes}
    return Data(train=split, validation=split, test=split, **settings)


def test_decimation_keeps_every_so_many_samples():
    split = decimate(made(lengths=np.array([7, 4])), 3)
    batch = split.batch(np.arange(2))
    assert len(split) == 2
    assert batch.x[:, :, 0].tolist() == [[0, 3, 6], [0, 3, 6]]
    assert batch.lengths.tolist() == [3, 2]  # samples 0, 3, 6 and 0, 3
    assert batch.y.tolist() == [0, 1]
    values = np.tile(np.arange(7.0)[None, :, None], (2, 1, 2))
    per_step = decimate(made(y=values, target=Target.VALUE_PER_STEP), 2.0)
    assert per_step.batch(np.arange(2)).y[0, :, 1].tolist() == [0, 2, 4, 6]


@pytest.mark.parametrize(
    ("changes", "factor", "told"),
    [
        ({}, 1.5, "whole number above 1, got 1.5"),
        ({}, 1, "whole number above 1"),
        ({}, -2, "whole number above 1"),
        ({}, float("nan"), "whole number above 1"),
        ({}, float("inf"), "whole number above 1"),
        ({}, 4, "less than two of the 7 samples"),
        ({"vocabulary": 9}, 2, "tokens"),
        ({"target": Target.CLASS_PER_STEP}, 2, "class at every step"),
    ],
)
def test_what_cannot_be_decimated(changes, factor, told):
    with pytest.raises(UsageError, match=told):
        decimate(made(**changes), factor)


def test_options_and_folders_that_make_no_sense(s4d, tmp_path):
    run = s4d[0] / "run"
    for wrong, told in [
        ({"kernel_taps": 0}, "kernel_taps must be at least 1"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"which": "bset"}, "did you mean 'best'"),
        ({"split": "train"}, "choose from test, validation"),
        ({"device": "gpu7"}, "no device is called"),
        ({"data": tmp_path / "none.npz"}, r"none\.npz"),
    ]:
        with pytest.raises(UsageError, match=told):
            evaluate(run, **wrong)
    with pytest.raises(UsageError, match="no folder that `ssmspec train` wrote"):
        evaluate(tmp_path)
    other = {**arrays(), "y_test": np.arange(20) % 9}
    np.savez(tmp_path / "other.npz", **other)
    with pytest.raises(UsageError, match=r"d_output = 9.*d_output = 3"):
        evaluate(run, data=tmp_path / "other.npz")
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "best.safetensors").write_bytes(b"broken")
    with pytest.raises(CheckpointError):
        evaluate(tmp_path / "run")
    (tmp_path / "run" / "best.safetensors").unlink()
    with pytest.raises(UsageError, match="--which last"):
        evaluate(tmp_path / "run")
    assert evaluate(tmp_path / "run", which="last").examples == 20


def test_the_command_prints_and_writes(s4d, capsys, tmp_path):
    run = str(s4d[0] / "run")
    assert run_command(["evaluate", run, "--resample", "2", "--kernel-taps", "4"]) == 0
    text = capsys.readouterr().out
    scores = evaluate(run, resample=2, kernel_taps=4)
    for label, part in (
        ("as trained", scores.scores),
        ("1/2 of the rate", scores.resampled.scores),
        ("first 4 taps", scores.cut.scores),
    ):
        (line,) = [line for line in text.splitlines() if line.startswith(label)]
        assert f"{100 * number(part.metric):.2f} %" in line
    assert "no anti-alias filter" in text
    file = tmp_path / "result.json"
    arguments = ["evaluate", run, "--format", "json", "--output", str(file)]
    assert run_command(arguments) == 0
    assert json.loads(file.read_text()) == evaluate(run).to_dict()
    assert run_command(arguments) == 2
    assert "already exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere"], "no folder that `ssmspec train` wrote"),
        (["RUN", "--resample", "2.5"], "whole number"),
        (["RUN", "--kernel-taps", "0"], "at least 1"),
        (["RUN", "--which", "first"], "first"),
    ],
)
def test_the_command_refuses_in_one_sentence(s4d, capsys, arguments, told):
    filled = [str(s4d[0] / "run") if word == "RUN" else word for word in arguments]
    assert run_command(["evaluate", *filled]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert len(error.splitlines()) == 1


def test_several_cuts_classes_and_predictions(tmp_path):
    folder = tmp_path / "run"
    train(tiny(max_steps=30, lr=0.02, spectrum_every=0), folder)
    file = tmp_path / "said.npz"
    result = evaluate(folder, kernel_taps=(2, 64), predictions=file)
    assert [cut.taps for cut in result.cuts] == [2, 64]
    assert number(result.cuts[1].scores.metric) == number(result.scores.metric)
    assert result.cut == result.cuts[0] == evaluate(folder, kernel_taps=2).cut

    with np.load(file) as said:
        outputs, classes = said["outputs"], said["classes"]
    data = load_data(tiny())
    asked = data.test.batch(np.arange(len(data.test))).y
    assert outputs.shape == (len(asked), 10)
    assert (classes == asked).mean() == pytest.approx(number(result.scores.metric))
    table = np.zeros((10, 10), int)
    for a, b in zip(asked, classes, strict=True):
        table[a, b] += 1
    assert result.classes.confusion == tuple(map(tuple, table.tolist()))
    wanted = f1_score(asked, classes, average="macro")
    assert number(result.classes.macro_f1) == pytest.approx(wanted, abs=1e-12)

    with pytest.raises(UsageError, match="is there already; --force replaces it"):
        evaluate(folder, predictions=file)
    with pytest.raises(UsageError, match=r"are written as .npz"):
        evaluate(folder, predictions=tmp_path / "said.csv")
    with pytest.raises(UsageError, match="kernel_taps must be at least 1, got 0"):
        evaluate(folder, kernel_taps=[3, 0])
    text = EVALUATION_WRITERS["text"].render(result, Page(width=None))
    assert "macro-F1" in text
    assert "asked, answered" in text
    assert "first 64 taps" in text
