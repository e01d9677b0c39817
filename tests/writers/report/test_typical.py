import re
from dataclasses import replace

import pytest

import ssmspec
from ssmspec.outcome import Finding, Level
from ssmspec.writers import WRITERS, Page
from tests.writers.report.test_text import layer, report, text


def noted(share, level=Level.INFO, threshold=0.01, name="net.0.ssm"):
    message = f"{share:.3%} of the modes alias (threshold 1 %): x. Do."
    return Finding("ALI001", level, name, message, share, threshold)


def lines(share, family="s4d", title="S4D", **finding):
    only = replace(layer(aliased_fraction=share), family=family, family_title=title)
    shown = text(report(only, findings=(noted(share, **finding),)))
    return [line for line in shown.splitlines() if re.match(r"ALI001 |typical ", line)]


def test_what_nearly_all_public_models_show_is_folded_and_names_its_code():
    assert lines(0.108) == [
        "typical         as in nearly every public S4D: 10.8 % of modes alias (ALI001), "
        "flatness 0.67; 8 recipes seen"
    ]


@pytest.mark.parametrize(
    ("share", "place"),
    [
        (0.13, "more than 95 % of public S4D layers (8 recipes)"),
        (0.4, "more than any public S4D layer (8 recipes)"),
    ],
)
def test_a_value_outside_is_named_with_its_place(share, place):
    (line,) = lines(share)
    assert line.startswith("ALI001 note")
    assert f"{place}; mask them" in line


def test_a_warning_an_error_or_a_threshold_of_ones_own_is_never_folded():
    for kept in ({"level": Level.WARNING}, {"level": Level.ERROR}):
        (line,) = lines(0.108, **kept)
        assert "public" not in line
    (line,) = lines(0.108, threshold=0.1)
    assert line.startswith("ALI001 note")


def test_under_five_recipes_there_is_a_range_and_the_count():
    (line,) = lines(0.108, family="attenuate", title="aTENNuate")
    assert re.search(r"public aTENNuate: [\d.]+ % \.\. [\d.]+ % \(1 recipe\); mask", line)
    (line,) = lines(0.108, family="s5", title="S5")
    assert "public" not in line


def test_half_a_sample_does_not_make_a_fault_typical():
    """94 % of modes that forget at once are within 5 % .. 95 % of Mamba-1; the median is 3 %."""
    only = replace(layer(memoryless_fraction=0.9375), family="mamba", family_title="Mamba-1")
    found = Finding("MEM001", Level.INFO, only.name, "x below one sample", 0.9375, 0.1)
    assert "typical" not in text(report(only, findings=(found,)))


def test_energy_that_aliases_is_not_compared_with_modes():
    """Nor is a note of a rule that judges no metric of the table, a third party's say."""
    only = layer(aliased_fraction=0.005)
    other = replace(noted(0.108), code="XYZ001")
    assert "public" not in text(report(only, findings=(noted(0.108), other)))


def test_layers_are_parted_one_by_one_and_verbose_folds_nothing():
    shares = {"net.0.ssm": 0.1, "net.1.ssm": 0.3}
    layers = [layer(name, aliased_fraction=share) for name, share in shares.items()]
    found = tuple(noted(share, name=name) for name, share in shares.items())
    shown = text(report(*layers, findings=found), width=120)
    assert "ALI001 note     layer 1: 30 % of modes alias" in shown
    assert "typical         as in nearly every public S4D: 10 % of modes alias (ALI001)" in shown
    assert "typical" not in text(report(*layers, findings=found), verbose=True)


def test_real_files_get_one_line_and_keep_their_warnings(shared):
    trained = ssmspec.analyze(shared / "s4d_cifar10.pth")
    shown = text(trained).splitlines()
    (line,) = [line for line in shown if re.match(r"typical|[A-Z]{3}\d{3} ", line)]
    assert line.startswith("typical  ")
    assert "10.8 % of modes alias (ALI001)" in line
    assert "as in nearly" not in WRITERS["markdown"].render(trained, Page())
    assert "as in nearly" not in WRITERS["json"].render(trained, Page())
    untrained = text(ssmspec.analyze(shared / "s4d_untrained.pth"))
    assert re.search(r"^INI001 warning  all 4 layers: never trained", untrained, re.MULTILINE)
