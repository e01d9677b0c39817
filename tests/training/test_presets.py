"""Presets: the paper's table, read from it by hand, and small ones that fit a laptop."""

import pytest

from ssmspec.schemes import SCHEMES
from ssmspec.training.model.initialize import new_layer
from ssmspec.training.settings import combine, preset_names, read_preset, to_config
from ssmspec.training.tasks import TASKS

# preset: task, layers, H, N, norm, prenorm, dropout, lr, batch, epochs, weight decay, least xi, and
# examples to learn from, of which the schedule follows
PAPER = {
    "scifar": ("scifar", 6, 128, 64, "layer", False, 0.1, 1e-2, 64, 100, 0.05, 1e-3, 45_000),
    "listops": ("listops", 6, 256, 64, "batch", False, 0.0, 1e-2, 50, 40, 0.05, 1e-3, 96_000),
    "image": ("scifar", 6, 512, 64, "layer", False, 0.1, 1e-2, 50, 200, 0.05, 1e-3, 45_000),
    "text": ("text", 6, 256, 64, "batch", True, 0.0, 1e-2, 16, 32, 0.05, 1e-3, 22_500),
    "pathfinder": ("pathfinder-32", 6, 256, 128, "batch", True, 0.0, 1e-3, 64, 200, 0.03, 1e-3,
                   160_000),
    "pathx-128": ("pathfinder-128", 6, 256, 128, "batch", True, 0.0, 5e-4, 32, 50, 0.05, 1e-4,
                  160_000),
    "pathx-256": ("pathfinder-256", 6, 256, 128, "batch", True, 0.0, 1e-4, 16, 20, 0.05, 1e-4,
                  160_000),
    "speech-commands": ("speech-commands", 6, 128, 64, "batch", True, 0.0, 1e-3, 16, 40, 0.05,
                        1e-3, 84_843),
}  # fmt: skip
SMALL = ("copying", "delay", "digits", "listops-small", "smnist")


def test_these_presets_ship():
    assert preset_names() == tuple(sorted((*PAPER, *SMALL)))


@pytest.mark.parametrize("name", PAPER)
def test_a_preset_is_the_papers_row(name):
    config = to_config(read_preset(name))
    model = config.model
    row = (
        config.task, model.n_layers, model.d_model, model.d_state, model.norm.value, model.prenorm,
        model.dropout, config.lr, config.batch_size, config.epochs, config.weight_decay,
        model.options.xi_min,
    )  # fmt: skip
    assert row == PAPER[name][:-1]
    assert (model.scheme, model.options.xi_max) == ("dfout", 0.1)
    assert (model.tie_dropout, model.bidirectional, config.decayed) == (True, True, "s4")
    rate = config.rate(PAPER[name][-1] // config.batch_size)
    assert rate.end == config.epochs * (PAPER[name][-1] // config.batch_size)
    assert rate.warmup in (1000, rate.end // 10)


@pytest.mark.parametrize("name", SMALL)
def test_a_small_preset_knows_its_tasks_settings(name):
    config = to_config(read_preset(name))
    task = TASKS.require(config.task)
    assert {key for key, _ in config.task_settings} <= {key for key, _ in task.settings}


@pytest.mark.parametrize("name", [name for name in PAPER if name.startswith("path")])
def test_pathfinder_presets_learn_from_as_many_images_as_the_task_makes(name):
    settings = dict(TASKS[PAPER[name][0]].settings)
    assert int(settings["examples"]) == PAPER[name][-1]


@pytest.mark.parametrize("name", [*PAPER, *SMALL])
def test_a_preset_takes_every_scheme_that_trains(name):
    for scheme in SCHEMES.values():
        if scheme.dt_per_state:
            continue
        given = {"scheme": scheme.id, "d_model": 2}
        model = to_config(combine(read_preset(name, scheme.id), given)).model
        layer = new_layer(model, 0, 0)
        assert layer.C.shape[-2] == model.modes
        for option in {"xi_min", "dt_min"} & {*scheme.options}:
            assert name not in PAPER or getattr(model.options, option) == PAPER[name][-2]
