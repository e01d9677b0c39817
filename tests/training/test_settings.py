"""The configuration as a flat table: there and back, layers, files, and what is refused."""

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from ssmspec.errors import UsageError
from ssmspec.schemes.options import SchemeOptions
from ssmspec.training.config import (
    DEFAULT_EPOCHS,
    Decayed,
    Freeze,
    InputGain,
    ModelConfig,
    Norm,
    Precision,
    Schedule,
    TrainConfig,
)
from ssmspec.training.settings import (
    checked,
    combine,
    preset_names,
    read_file,
    read_preset,
    to_config,
    to_settings,
)

EVERYTHING = TrainConfig(
    task="delay",
    model=ModelConfig(
        scheme="lru-ring",
        options=SchemeOptions(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 2),
        d_model=3,
        d_state=10,
        n_layers=5,
        norm=Norm.BATCH,
        prenorm=False,
        dropout=0.5,
        tie_dropout=True,
        bidirectional=True,
        input_gain=InputGain.ZOH,
        freeze=Freeze.ANGLES,
    ),
    task_settings=(("lag", "7"), ("cutoff", "0.25")),
    data=Path("/data"),
    init=Path("/init.safetensors"),
    seq_len=11,
    seed=12,
    epochs=13,
    max_steps=14,
    batch_size=30,
    accumulate=15,
    lr=0.16,
    ssm_lr=0.17,
    weight_decay=0.18,
    decayed=Decayed.S4,
    warmup_steps=19,
    schedule_steps=20,
    clip=0.21,
    precision=Precision.BF16,
    compile=True,
    recompute=True,
    spectrum_every=22,
    eval_every=23,
    save_every=24,
    keep_every=26,
    patience=27,
    log_every=25,
    deterministic=True,
    tensorboard=True,
)


def test_every_field_survives_json_and_back():
    default = TrainConfig("digits")
    rest = TrainConfig("digits", warmup=0.5, schedule=Schedule.CONSTANT)
    for record, other in ((EVERYTHING, default), (EVERYTHING.model, default.model)):
        for field in fields(record):  # so that a field that is forgotten cannot hide
            said = rest if field.name in ("warmup", "schedule") else record
            assert getattr(said, field.name) != getattr(other, field.name), field.name
    for config in (EVERYTHING, default, rest):
        assert to_config(json.loads(json.dumps(to_settings(config)))) == config


def test_later_layers_count_and_none_is_not_given():
    merged = combine({"lr": 1.0, "task": "digits"}, {"lr": 2.0}, {"lr": None, "seed": 3})
    assert merged == {"lr": 2.0, "task": "digits", "seed": 3}
    merged = combine({"task_settings": {"a": "1", "b": "2"}}, {"task_settings": {"b": "3"}})
    assert merged["task_settings"] == {"a": "1", "b": "3"}


@pytest.mark.parametrize(
    ("below", "above", "result"),
    [
        ({"epochs": 3}, {"max_steps": 9}, {"max_steps": 9}),
        ({"max_steps": 9}, {"epochs": 3}, {"epochs": 3}),
        ({"epochs": 3, "max_steps": 9}, {"lr": 1.0}, {"epochs": 3, "max_steps": 9, "lr": 1.0}),
        ({"max_steps": 9}, {"epochs": 3, "max_steps": 5}, {"epochs": 3, "max_steps": 5}),
        ({"warmup": 0.1}, {"warmup_steps": 5}, {"warmup_steps": 5}),
        ({"schedule_steps": 9}, {"schedule": "constant"}, {"schedule": "constant"}),
    ],
)
def test_what_a_layer_says_of_the_end_replaces_all_below(below, above, result):
    assert combine(below, above) == result


@pytest.mark.parametrize(
    ("given", "steps"),
    [
        ({}, 19 * DEFAULT_EPOCHS),
        ({"epochs": 2}, 38),
        ({"max_steps": 1000}, 1000),
        ({"epochs": 2, "max_steps": 1000}, 38),
        ({"epochs": 2, "max_steps": 30}, 30),
    ],
)
def test_when_to_stop(given, steps):
    assert TrainConfig("digits", **given).total_steps(19) == steps


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "digits", "n_layer": 3}, "unknown key 'n_layer'; did you mean 'n_layers'"),
        ({"task": "digits", "norm": "layr"}, "norm is no 'layr'; did you mean 'layer'"),
        ({"task": "digits", "epochs": 2.5}, "epochs must be a whole number, got 2.5"),
        ({"task": "digits", "epochs": True}, "epochs must be a whole number, got True"),
        ({"task": "digits", "lr": "fast"}, "lr must be a number, got 'fast'"),
        ({"task": "digits", "prenorm": 1}, "prenorm must be true or false, got 1"),
        ({"task": 3}, "task must be a name, got 3"),
        ({"task": "digits", "task_settings": 3}, "task_settings must be a table"),
        ({"lr": 0.1}, "say what to train on"),
        ({"task": "digits", "lr": 0.0}, "lr must be a positive number"),
        ({"task": "digits", "lr": float("nan")}, "lr must be a positive number"),
        ({"task": "digits", "weight_decay": -1.0}, "weight_decay must not be negative"),
        ({"task": "digits", "epochs": 0}, "epochs must be at least 1"),
        ({"task": "digits", "seed": -1}, "seed must be at least 0"),
        ({"task": "digits", "batch_size": 9, "accumulate": 2}, "cannot be cut into 2 equal parts"),
        ({"task": "digits", "d_state": 7}, "d_state must be even"),
        ({"task": "digits", "dropout": 1.0}, r"dropout must lie in \[0, 1\)"),
        ({"task": "digits", "warmup_steps": 9, "schedule_steps": 9}, "ends within the warm-up"),
        ({"task": "digits", "warmup": 100.0}, "a share of the run"),
        ({"task": "digits", "warmup": 0.1, "warmup_steps": 9}, "say the same"),
        ({"task": "digits", "schedule": "constant", "schedule_steps": 9}, "leave one of them out"),
    ],
)
def test_what_makes_no_sense_is_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        to_config(settings)


def test_choices_and_paths_may_be_given_by_name():
    config = TrainConfig("digits", ModelConfig(norm="batch"), precision="bf16", data="here")
    assert (config.model.norm, config.precision) == (Norm.BATCH, Precision.BF16)
    assert config.data == Path("here")
    with pytest.raises(UsageError, match="precision is no 'bf17'; did you mean 'bf16'"):
        TrainConfig("digits", precision="bf17")


def test_a_rate_of_zero_is_never_trained_at():
    config = TrainConfig("digits", epochs=2, schedule_steps=37)
    with pytest.raises(UsageError, match="to 0 at step 37, and the run is to last 38 steps"):
        config.rate(19)
    assert replace(config, schedule_steps=38).rate(19).end == 38


def test_a_file_is_checked_and_named(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(
        'task = "delay"\nlr = 1\nprenorm = false\n[task_settings]\nlag = 5\non = true\n'
    )
    config = to_config(read_file(path))
    assert (config.lr, config.model.prenorm) == (1.0, False)
    assert config.task_settings == (("lag", "5"), ("on", "true"))
    path.write_text("lrr = 1\n")
    with pytest.raises(UsageError, match=r"run.toml has an unknown key 'lrr'; did you mean 'lr'"):
        read_file(path)
    path.write_text("lr = \n")
    with pytest.raises(UsageError, match=r"run.toml is not valid TOML"):
        read_file(path)
    with pytest.raises(UsageError, match=r"none.toml does not exist"):
        read_file(tmp_path / "none.toml")
    for text, told in (
        ("a = " + "{a = " * 2000, "nested too deeply"),
        (".".join("a" * 5000) + " = 1", "nested too deeply"),
        ("#" * 300_000, "is larger than"),
        ("seed = 1" + "0" * 400, "seed is too large"),
        ("d_model = 1000000000", "choose a smaller model"),
    ):
        path.write_text('task = "delay"\n' + text)
        with pytest.raises(UsageError, match=told):
            to_config(read_file(path))


def test_presets():
    with pytest.raises(UsageError, match="no preset is called 'digitz'"):
        read_preset("digitz")
    assert "digits" in preset_names()
    for name in preset_names():
        assert to_config(read_preset(name)).task
    assert checked({"lr": 1}, "a test") == {"lr": 1.0}


def test_a_scheme_drops_what_lower_layers_said_for_another():
    below = {"scheme": "dfout", "xi_min": 0.01, "input_gain": "zoh", "d_model": 8}
    assert combine(below, {"scheme": "s4d-lin"}) == {"scheme": "s4d-lin", "d_model": 8}
    assert combine(below, {"scheme": "dfout-token"})["xi_min"] == 0.01
    assert combine({"xi_min": 0.01}, {"scheme": "s4d-lin"}) == {"scheme": "s4d-lin"}
    assert combine(below, {"xi_min": 0.02})["xi_min"] == 0.02
    # what is said together with the scheme is not dropped, but refused where it is not read
    assert combine(below, {"scheme": "s4d-lin", "xi_min": 0.1})["xi_min"] == 0.1
    with pytest.raises(UsageError, match="dfou"):
        combine(below, {"scheme": "dfuot"})
