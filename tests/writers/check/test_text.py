import json
import re
from dataclasses import replace

import pytest
from rich.cells import cell_len

from ssmspec.outcome import Level
from ssmspec.results.check import WHOLE_MODEL, Status
from ssmspec.rules import RULES
from ssmspec.writers import Page
from ssmspec.writers.check import CHECK_WRITERS
from ssmspec.writers.parts.finding_groups import by_rule
from ssmspec.writers.parts.verdicts import ground_rules, groups
from tests.examples import check as made
from tests.examples.check import HOSTILE, checked, finding, layer, run, unread

SAMPLES = (
    "sample_checkpoints/s4d_lin.safetensors",
    "sample_checkpoints/defect_unstable_s5.safetensors",
    "sample_checkpoints/mamba2.safetensors",
)
ERROR, WARNING = finding("STB001", Level.ERROR), finding("MEM002", Level.WARNING)
NOTE = finding("ALI001")


def text(what, **page):
    return CHECK_WRITERS["text"].render(what, Page(**page))


@pytest.fixture(scope="module")
def samples():
    judged = made.analyzed(*SAMPLES, seq_len=1024)
    return run(*judged.files, unread())


def test_the_formats_of_the_contract_are_there():
    assert {"text", "json", "markdown", "junit", "github"} <= set(CHECK_WRITERS)


@pytest.mark.parametrize(
    ("what", "last"),
    [
        (run(checked()), "passed (exit code 0)"),
        (run(checked(findings=[NOTE, WARNING])), "passed; 1 warning, 1 note (exit code 0)"),
        (
            run(checked(findings=[ERROR, NOTE])),
            "gate failed: 1 error; 1 note besides (exit code 1)",
        ),
        (
            run(checked(findings=[ERROR]), exit_zero=True),
            "gate failed: 1 error; --exit-zero hides it (exit code 0)",
        ),
        (
            run(checked(findings=[WARNING], fail_on=Level.WARNING), fail_on=Level.WARNING),
            "gate failed: 1 warning (exit code 1)",
        ),
        (run(unread()), "could not judge the checkpoint (exit code 2)"),
        (run(unread(), exit_zero=True), "could not judge the checkpoint (exit code 2)"),
        (
            run(checked(), unread(), checked(findings=[ERROR, ERROR])),
            "could not judge 1 of 3 checkpoints; gate failed: 2 errors in 1 of 3 checkpoints "
            "(exit code 2)",
        ),
        (
            run(checked(), unread()),
            "could not judge 1 of 2 checkpoints; the others passed (exit code 2)",
        ),
        (
            run(
                checked(findings=[ERROR], statuses=[Status.UNCHANGED], fixed=[NOTE]),
                baselines=("b.json",),
            ),
            "passed; 1 error unchanged; 1 fixed (exit code 0)",
        ),
    ],
)
def test_the_last_line_says_what_the_exit_code_means(what, last):
    assert text(what).splitlines()[-1] == last
    assert last.endswith(f"(exit code {what.exit_code})")


def test_a_verdict_comes_before_everything_else(samples):
    shown = text(samples, width=100)
    words = re.findall(r"^(pass|warn|fail|not judged)  (\S+)$", shown, re.MULTILINE)[:4]
    assert words == [
        ("warn", SAMPLES[0]),
        ("fail", SAMPLES[1]),
        ("pass", SAMPLES[2]),
        ("not judged", "lost.pth"),
    ]
    assert shown.startswith("warn")
    assert "could not be judged: No such file or directory" in shown


def test_several_checkpoints_end_in_a_table_of_them_worst_first(samples):
    lines = text(samples).splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("verdict"))
    rows = [re.split(r"\s{2,}", line) for line in lines[head : head + 5]]
    assert rows[0] == ["verdict", "errors", "warnings", "notes", "layers", "checkpoint"]
    assert rows[1] == ["not judged", "-", "-", "-", "-", "lost.pth"]
    assert rows[2][:2] == ["fail", "1"]
    assert [row[0] for row in rows[3:]] == ["warn", "pass"]
    assert "verdict " not in text(run(checked()))


def test_findings_are_grouped_and_say_where_they_stand_against_the_baseline():
    lines = [" ".join(line.split()) for line in text(made.compared()).splitlines()]
    assert [line for line in lines if re.match(r"[A-Z]{3}\d{3} ", line)] == [
        "STB001 error new layer net.0.ssm: 3.0 of it, too much. Do less",
        "MEM002 warning new layer net.1.ssm: 0.5 of it, too much. Do less",
        "STB002 error unchanged layer net.3.ssm: None of it, too much. Do less",
        "ALI001 note unchanged layer net.1.ssm: 0.2 of it, too much. Do less",
        "COV001 note fixed layer net.2.ssm: no longer found; the baseline said: "
        "0.4 of it, too much. Do less",
    ]
    assert "compared with base.json" in "".join(lines)


def test_the_worst_layer_speaks_for_a_rule_and_verbose_lets_all_speak():
    names = [f"net.{i}.ssm" for i in range(8)]
    found = [finding(layer=name, value=0.1 * (i + 1)) for i, name in enumerate(names[:7])]
    what = run(checked(layers=[layer(name) for name in names], findings=found))
    short = text(what, width=200)
    assert "ALI001 note     7 of 8 layers, most in 6: 0.7000000000000001 of it" in short
    assert "net.3.ssm" not in short
    assert all(name in text(what) for name in names[:7])
    assert text(what, width=200, verbose=True).count(" of it, too much") == 8


@pytest.mark.parametrize("form", ["text", "markdown", "junit"])
@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        (checked(findings=[ERROR]), "fails the gate: 1 error"),
        (checked(findings=[ERROR, NOTE]), "fails the gate: 1 error; 1 note besides"),
        (checked(findings=[WARNING, NOTE]), "1 warning, 1 note"),
        (checked(findings=[ERROR], statuses=[Status.UNCHANGED]), "1 error unchanged"),
        (checked(findings=[WARNING], fail_on=Level.WARNING), "fails the gate: 1 warning"),
        (checked(), "nothing found"),
    ],
)
def test_a_file_says_whether_it_fails_the_gate(file, sentence, form):
    shown = CHECK_WRITERS[form].render(run(file, checked("other.pth")), Page())
    shown = shown.lower()  # a sentence in Markdown, a clause elsewhere
    assert re.search(rf"(^|\s|>){sentence}\.?$", shown, re.MULTILINE)
    assert shown.count("fails the gate") == sentence.count("fails the gate")


def test_advice_is_given_once_and_a_rule_that_is_not_installed_renders():
    rule = RULES["ALI001"]
    names = [f"net.{i}.ssm" for i in range(3)]
    for code, advice in (("ALI001", rule.advice), ("XYZ001", "Do this.")):
        found = [
            replace(finding(code, layer=name), message=f"{i} of it. {advice}")
            for i, name in enumerate(names)
        ]
        what = run(checked(layers=[layer(name) for name in names], findings=found))
        for verbose in (False, True):
            shown = " ".join(text(what, width=300, verbose=verbose).split())
            # Without its rule nobody can tell where the advice begins.
            assert shown.count(advice) == (1 if code in RULES or not verbose else 4)
            assert all((f"{i} of it." in shown) == (verbose or i == 0) for i in (0, 1))
        for form in CHECK_WRITERS.values():
            assert code in form.render(what, Page())


def test_one_rule_that_says_two_things_of_a_layer_says_both():
    found = [
        replace(
            finding("REG001", Level.ERROR, place, value, 0.9),
            message=f"{metric} is {value} and was 0.9 in the baseline. Look",
        )
        for metric in ("coverage", "locality")
        for place, value in (("net.0.ssm", 0.1), ("net.1.ssm", 0.2), (WHOLE_MODEL, 0.3))
    ]
    assert len(by_rule(found)) == 2
    what = run(
        checked(
            layers=[layer("net.0.ssm"), layer("net.1.ssm")],
            findings=found,
            statuses=[Status.NEW] * 6,
        ),
        baselines=("b.json",),
    )
    shown = text(what, width=200)
    for metric in ("coverage", "locality"):
        assert f"both layers, most in 0: {metric} is 0.1" in shown
        assert f"whole model: {metric} is 0.3" in shown


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("verbose", [False, True])
def test_text_fits_the_terminal_and_nothing_is_cut(samples, width, verbose):
    for what in (made.compared(), samples, made.big(50)):
        shown = text(what, width=width, verbose=verbose)
        paths = [line for line in shown.splitlines() if "sample_checkpoints" not in line]
        assert max(map(cell_len, paths)) <= width
        assert "…" not in shown


def test_a_pipe_gets_whole_names_one_line_a_finding_and_no_styles(samples):
    shown = text(samples)
    assert "\x1b" not in shown
    assert "encoder.layers_1.seq" in shown
    rules = [line for line in shown.splitlines() if re.match(r"[A-Z]{3}\d{3} ", line)]
    assert len(rules) == sum(len(groups(file)) for file in samples.files)
    assert "taken as zoh (--discretization" in shown


def test_color_changes_styles_only(samples):
    colored = text(samples, width=80, color=True)
    assert "\x1b[" in colored
    bare = re.sub(r"\x1b\[[0-9;]*m", "", colored)
    assert bare.split() == text(samples, width=80).split()


@pytest.mark.parametrize("page", [Page(), Page(width=80), Page(width=80, verbose=True)])
def test_hostile_names_are_text(page):
    file = checked(
        HOSTILE,
        [layer(HOSTILE), layer("b.k")],
        [finding(layer=HOSTILE)],
        skipped=[HOSTILE],
        assumptions=[HOSTILE],
    )
    what = run(file, unread(HOSTILE, f"{HOSTILE}: {HOSTILE}"), baselines=(HOSTILE,))
    shown = CHECK_WRITERS["text"].render(what, page)
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "[red]" in shown
    assert "<script>" in shown
    assert "##[" not in shown
    assert "::" not in shown


def test_a_checkpoint_whose_layers_were_all_skipped_says_which_and_why():
    file = checked(layers=[layer()], skipped=["net.9.ssm"])
    shown = text(run(file))
    assert "skipped  net.9.ssm: it is not diagonal" in shown


def test_hints_reach_whoever_has_no_stderr_beside_the_report():
    what = run(checked(), hints=("the baseline was measured at another length",))
    assert "hints    the baseline was measured at another length" in text(what)
    assert "another length" not in text(what, width=80)


def test_the_ground_rules_name_all_that_a_verdict_depends_on():
    what = run(
        checked(),
        fail_on=Level.WARNING,
        baselines=("a.json", "b.json"),
        config="ssmspec.toml",
        select=("ALI", "COV001"),
        ignore=("COV002",),
    )
    assert ground_rules(what) == (
        "preset recommended; fails on errors and warnings; selected ALI, COV001; ignored COV002; "
        "settings of ssmspec.toml; compared with a.json, b.json"
    )


def test_json_is_the_run_itself(samples):
    for what in (samples, made.compared()):
        content = json.loads(CHECK_WRITERS["json"].render(what, Page()), parse_constant=pytest.fail)
        assert content == json.loads(json.dumps(what.to_dict()))
        assert len(content["checkpoints"]) == len(what.files)
    assert {f["status"] for f in content["checkpoints"][0]["report"]["findings"]} == {
        "new", "unchanged",
    }  # fmt: skip
