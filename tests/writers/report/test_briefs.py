import math

import pytest

import ssmspec
from ssmspec.outcome import Finding, Level
from ssmspec.rules import RULES
from ssmspec.writers.report.briefs import brief, headline
from tests.examples.comparison import s4d


def finding(code, message, value=None, threshold=None, level=Level.WARNING):
    return Finding(code, level, "net", message, value, threshold)


@pytest.mark.parametrize("code", [code for code in RULES if code != "REG001"])
def test_every_rule_says_what_to_do_in_a_few_words(code):
    _, advice = brief(finding(code, "something else (threshold 3): because. Do this."))
    assert 0 < len(advice) <= 32


@pytest.mark.parametrize(
    ("found", "what"),
    [
        (finding("ALI001", "93.8 % of the modes alias (threshold 1 %): x. Do.", 0.9375, 0.01),
         "93.8 % of modes alias (> 1 %)"),
        (finding("ALI001", "modes that alias hold 3 % of it (threshold 1 %): x.", 0.03, 0.01),
         "3 % of energy aliases (> 1 %)"),
        (finding("STB001", "1 mode e-folds; e-fold every 400 samples", -0.0025, -1e-6),
         "a pole grows, 0.0025 nat/sample (> 1e-06)"),
        (finding("COV001", "the poles reach 14 % of the band", 0.14, 0.9),
         "14 % of the band reached (< 90 %)"),
        (finding("XYZ001", "a: b. Do this."), "a"),
        (finding("XYZ001", "it is 4 (threshold 3, says a: b): why. Do."),
         "it is 4 (threshold 3, says a: b)"),
        (finding("XYZ001", "\x1b[31mred. Do."), "\\x1b[31mred"),
    ],
)  # fmt: skip
def test_what_was_found_with_its_number_against_the_threshold(found, what):
    assert brief(found)[0] == what


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (finding("STB001", "5 modes grow by a factor of more than 1e+300 (threshold 1.01). Do.",
                 math.inf, 1.01), ("a pole grows, over 1e+300 times (> 1.01)",
                                   "make every pole decay")),
        (finding("STB001", "1 mode grows by a factor of 37; the rounding of bfloat16 alone. Do.",
                 37.0, 1.01), ("a pole grows, 37 times (> 1.01)", "store float32")),
        (finding("STB002", "A_log holds 1 -inf (the first at [5]): -inf is the logarithm of 0."),
         ("A_log holds 1 -inf (the first at [5])", "write a small rate's log there")),
        (finding("STB002", "A_log holds 4 NaN: from a loader that took the logarithm once more."),
         ("A_log holds 4 NaN", "convert without a second log")),
        (finding("STB002", "C holds 4 NaN: from training that diverged."),
         ("C holds 4 NaN", "go back to the last finite file")),
        (finding("MEM002", "no mode remembers it: 3. Lower the damping (nu_log).", 0.2, 1.0),
         ("memory over L is 0.2 (< 1)", "lower damping")),
        (finding("MEM002", "no mode remembers it: 3. Lower the step size (log_dt).", 0.2, 1.0),
         ("memory over L is 0.2 (< 1)", "lower dt or damping")),
    ],
)  # fmt: skip
def test_the_advice_is_that_of_the_cause_and_of_the_familys_own_parameters(found, said):
    assert brief(found) == said


def test_the_rules_own_messages_are_known():
    """A rule whose message is worded anew falls back to its first clause: this notices."""
    report = ssmspec.analyze(s4d("net", channels=4, dt=1.0), seq_len=64)
    said = {f.code: brief(f)[0] for f in report.findings}
    assert said["ALI001"].endswith("of modes alias (> 1 %)")
    assert said["INI001"].startswith("never trained, moved ")
    assert headline(report.findings[0]) == "never trained"
