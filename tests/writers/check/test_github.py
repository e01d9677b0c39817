"""Annotations, read back as GitHub's runner reads a line of a log (its `ActionCommand`)."""

import re
from dataclasses import dataclass, replace

import pytest

from ssmspec.naming import printable
from ssmspec.outcome import Level
from ssmspec.results.check import Status
from ssmspec.rules import RULES
from ssmspec.writers import WRITERS, Page
from ssmspec.writers.check import CHECK_WRITERS
from ssmspec.writers.check.github import SHOWN, data, step_summary, value
from ssmspec.writers.check.markdown import cut
from tests.examples import check as made
from tests.examples.check import HOSTILE, checked, finding, layer, run, unread

REGISTERED = {
    "add-mask", "add-matcher", "add-path", "debug", "echo", "endgroup", "error", "group", "notice",
    "remove-matcher", "save-state", "set-env", "set-output", "stop-commands", "warning",
}  # fmt: skip


@dataclass(frozen=True)
class Command:
    name: str
    properties: dict
    data: str


def unescape(text, *pairs):
    for character in (*pairs, "%"):  # the percent sign last, as the runner does
        text = text.replace(f"%{ord(character):02X}", character)
    return text


def obeyed(line):
    """The command in a line: `::name key=value,...::data` at its start, or `##[name ...]data`."""
    head = line.lstrip()
    if head.startswith("::") and "::" in head[2:]:
        told, _, rest = head[2:].partition("::")
        name, _, pairs = told.partition(" ")
        if name.lower() in REGISTERED:
            properties = dict(
                pair.split("=", 1) for pair in pairs.strip().split(",") if "=" in pair
            )
            return Command(
                name,
                {k: unescape(v, "\r", "\n", ":", ",") for k, v in properties.items()},
                unescape(rest, "\r", "\n"),
            )
    for old in re.finditer(r"##\[([^\] ]*)[^\]]*\]", line):
        if old[1].lower() in REGISTERED:
            return Command(old[1], {}, line[old.end() :])
    return None


def commands(what):
    text = CHECK_WRITERS["github"].render(what, Page())
    return [command for line in text.split("\n") if (command := obeyed(line))]


def by_level(found):
    return {name: [c for c in found if c.name == name] for name in ("error", "warning", "notice")}


def test_the_reader_of_this_test_knows_a_forgery():
    assert obeyed("  ::set-output name=verdict::passed").name == "set-output"
    assert obeyed("layer ##[set-output name=verdict;]passed").name == "set-output"
    assert obeyed("::error file=a%2Cb::50%25%0Anext") == Command(
        "error", {"file": "a,b"}, "50%\nnext"
    )
    assert obeyed("a :: b") is None


def test_levels_files_titles_and_messages_arrive():
    what = run(
        checked(
            "models/a.pth",
            [layer("net.0.ssm"), layer("net.1.ssm")],
            [
                finding("STB001", Level.ERROR, "net.1.ssm", 12.9, 1.01),
                finding("MEM002", Level.WARNING, "net.0.ssm", 0.5, 1.0),
                finding("ALI001"),
            ],
        )
    )
    first, second, third = commands(what)
    assert first == Command(
        "error",
        {"file": "models/a.pth", "title": f"ssmspec STB001: {RULES['STB001'].title}"},
        "layer net.1.ssm: 12.9 of it, too much. Do less",
    )
    assert (second.name, third.name) == ("warning", "notice")


@pytest.mark.parametrize(
    "path", ["50%.pth", "a,b.pth", "a:b::c.pth", "a=b.pth", "%0A.pth", "::error::.pth", "a b.pth"]
)
def test_a_path_arrives_whatever_is_in_it(path):
    (command,) = commands(run(checked(path, findings=[finding()])))
    assert command.properties["file"] == path


@pytest.mark.parametrize("name", ["50%", "a%0Ab", "a,b:c", "100 %25"])
def test_a_message_and_a_layer_arrive_whatever_is_in_them(name):
    found = replace(finding(layer=name), message=f"{name} too much")
    (command,) = commands(run(checked(layers=[layer(name)], findings=[found])))
    assert command.data == f"{name}: {name} too much"


def test_escapes_are_those_of_the_toolkit():
    text = "%\r\n:,;="
    assert data(text) == "%25%0D%0A:,;="
    assert value(text) == "%25%0D%0A%3A%2C;="
    assert unescape(value(text), "\r", "\n", ":", ",") == text


def test_a_newline_cannot_end_a_command():
    what = run(checked("a\nb.pth", [layer("x\n::error::y")], [finding(layer="x\n::error::y")]))
    lines = CHECK_WRITERS["github"].render(what, Page()).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("::notice file=")


def test_nine_annotations_of_a_level_and_how_many_more():
    codes = list(RULES)[:14]
    found = [finding(code, level) for level in Level for code in codes]
    shown = by_level(commands(run(checked(findings=found))))
    for level, noun in (("error", "errors"), ("warning", "warnings"), ("notice", "notices")):
        assert len(shown[level]) == SHOWN + 1 <= 10
        assert shown[level][-1].data.startswith(f"and 5 more {noun};")
        assert "file" not in shown[level][-1].properties


def test_the_remainder_counts_findings_of_every_layer():
    names = ["net.0.ssm", "net.1.ssm"]
    found = [finding(code, layer=name) for code in list(RULES)[:10] for name in names]
    shown = commands(run(checked(layers=[layer(name) for name in names], findings=found)))
    assert len(shown) == 10
    assert shown[-1].data.startswith("and 2 more notices;")


def test_worst_first_over_all_checkpoints():
    files = [
        checked(f"{i}.pth", findings=[finding(f"ABC{i:03}", Level.WARNING)]) for i in range(12)
    ]
    failing = checked("bad.pth", findings=[finding("MEM002", Level.WARNING)], fail_on=Level.WARNING)
    shown = commands(run(*files, failing, unread()))
    assert shown[0].properties == {"file": "lost.pth", "title": "ssmspec: could not be judged"}
    assert shown[0].data == "could not be judged: No such file or directory"
    assert shown[1].properties["file"] == "bad.pth"
    assert len(shown) == 1 + SHOWN + 1


def test_one_annotation_stands_for_all_layers_of_a_rule():
    shown = by_level(commands(made.big(2_000)))
    assert [len(found) for found in shown.values()] == [1, 1, 1]
    assert shown["error"][0].data.startswith("all 2000 layers, most in backbone.layers.1999")


def test_what_the_baseline_holds_is_counted_and_not_annotated():
    what = made.compared()
    assert [command.properties["title"][8:14] for command in commands(what)] == ["STB001", "MEM002"]
    last = CHECK_WRITERS["github"].render(what, Page()).splitlines()[-1]
    assert "1 error, 1 note unchanged; 1 fixed (exit code 1)" in last
    assert all(j.status is Status.UNCHANGED for j in what.files[0].findings[2:])


@pytest.mark.parametrize("name", ["text", "github", "markdown", "junit"])
@pytest.mark.parametrize("page", [Page(), Page(width=80), Page(width=40, verbose=True)])
@pytest.mark.parametrize(
    "hostile",
    [
        HOSTILE,
        "::set-output name=verdict::passed",
        "m.::set-output name=verdict::passed.k",
        "##[set-output name=verdict;]passed",
        "x\n::stop-commands::abc",
        ":::add-mask::a",
        "###[add-mask]a",
    ],
)
def test_no_name_can_command_the_machine_that_shows_the_log(name, page, hostile):
    names = [hostile, f"{hostile}.0", f"{hostile}.1", "m.other.k"]
    found = [replace(finding(layer=part), message=f"{hostile} {i}") for i, part in enumerate(names)]
    file = checked(hostile, [layer(part) for part in names], found, skipped=[hostile])
    what = run(file, unread(hostile, hostile), baselines=(hostile,), hints=(hostile,))
    text = CHECK_WRITERS[name].render(what, page)
    for line in text.splitlines():
        command = obeyed(line)
        assert command is None or (name == "github" and command.name in ("error", "notice")), line
    assert file.report is not None
    analysis = "" if name not in WRITERS else WRITERS[name].render(file.report, page)
    assert not any(map(obeyed, analysis.splitlines()))


@pytest.mark.parametrize("room", [0, 400, 5_000, 1_000_000])
def test_a_step_summary_is_the_markdown_in_the_room_there_is(room):
    text = step_summary(made.big(100), room)
    assert len(text.encode()) <= room
    assert text == cut(made.big(100), room)
    assert bool(text) == (room > 0)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a.b:c", "a.b:c"),
        ("::error::x", ":\\x3aerror:\\x3ax"),
        ("a##[error]b", "a#\\x23[error]b"),
        (":" * 4, ":\\x3a\\x3a\\x3a"),
        ("a##b [c]", "a##b [c]"),
        ("é\n::x", "é\\n:\\x3ax"),
    ],
)
def test_a_name_is_shown_without_its_commands(name, shown):
    assert printable(name) == shown
    assert printable(shown) == shown
