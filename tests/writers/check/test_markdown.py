import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from ssmspec.outcome import Level
from ssmspec.results.check import Status
from ssmspec.writers import Page
from ssmspec.writers.check.markdown import ROOM, cut, render
from ssmspec.writers.parts.blocks import Block, fitted
from ssmspec.writers.parts.markdown import clipped, code, prose
from tests.examples import check as made
from tests.examples.check import HOSTILE, checked, finding, layer, run, unread

TAGS = {
    "h2", "h3", "p", "strong", "code", "ul", "li", "details", "summary",
    "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip


class Rendered(HTMLParser):
    """Markdown as a browser would hold it: tags, and text inside and outside of `code`."""

    def __init__(self, markdown):
        super().__init__(convert_charrefs=True)
        self.tags, self.open, self.code, self.other = [], [], "", ""
        self.feed(MarkdownIt("commonmark").enable("table").render(markdown))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert all(name in ("style", "open") for name, _ in attrs)
        self.tags.append(tag)
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_comment(self, data):
        raise AssertionError(data)

    def handle_data(self, data):
        if "code" in self.open:
            self.code += data
        else:
            self.other += data


def page(what):
    return render(what, Page())


def size(text):
    return len(text.encode())


def hostile():
    return run(
        checked(
            HOSTILE,
            [layer(HOSTILE), layer("b")],
            [replace(finding(layer=HOSTILE), message=HOSTILE), finding(layer="b")],
            skipped=[HOSTILE],
            assumptions=[HOSTILE],
        ),
        unread(HOSTILE, HOSTILE),
        baselines=(HOSTILE,),
        config=HOSTILE,
        hints=(HOSTILE,),
    )


def test_names_are_text_in_what_a_browser_gets():
    shown = Rendered(page(hostile()))
    assert set(shown.tags) <= TAGS
    # Two paths twice, the layer in its finding and in the table, and what was skipped ...
    assert shown.code.count("<script>") == 7
    assert shown.other.count("<script>") == 6  # ... and sentences
    assert "\x1b" not in shown.code + shown.other
    for linked in ("@team", "#1", "www.", "##[", "::"):
        assert linked not in shown.other
    assert "@\u200bteam" in shown.other


@pytest.mark.parametrize(
    "name", ["plain.0", "a`b", "a|b", "``", "a\\`b", "", " ", "*x*", "a\nb", "<b>", "[x](y)", "~a~"]
)
def test_a_name_comes_out_as_it_went_in(name):
    spelled = name.replace("\n", "\\n")
    shown = Rendered(f"x {code(name)} y")
    if spelled.strip():
        assert shown.code == spelled
        assert shown.tags == ["p", "code"]
    row = Rendered(f"| a | b |\n| --- | --- |\n| {code(name)} | {prose(name)} |\n")
    assert row.tags.count("td") == 2


@pytest.mark.parametrize(
    "text", ["a_b_c", "1 < 2 & 3", "# no heading", "| x |", "$x$", "see [x](y)"]
)
def test_a_sentence_comes_out_as_it_went_in(text):
    shown = Rendered(f"- {prose(text)}")
    assert shown.other.strip() == text
    assert set(shown.tags) == {"ul", "li"}


def test_one_checkpoint_is_one_open_table():
    text = page(made.compared())
    shown = Rendered(text)
    assert shown.tags.count("h3") == 1
    assert "<details open>" in text
    assert text.startswith("## ssmspec check\n\n**Gate failed: 1 error; ")
    found = re.findall(r"^- \*\*(\w+)\*\* \((\w+), (\w+)\)", text, re.MULTILINE)
    assert found == [
        ("STB001", "error", "new"),
        ("MEM002", "warning", "new"),
        ("STB002", "error", "unchanged"),
        ("ALI001", "note", "unchanged"),
        ("COV001", "note", "fixed"),
    ]


def rows(text, start):
    lines = text[text.index(start) :].splitlines()
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line[:1] == "|"]


def test_layers_stand_worst_first_with_what_was_found():
    table = rows(page(made.compared()), "Layers, worst first")
    assert table[0][:2] == ["layer", "found"]
    assert [row[:2] for row in table[2:]] == [
        ["`net.0.ssm`", "STB001"],
        ["`net.1.ssm`", "MEM002, ALI001"],
        ["`net.3.ssm`", "STB002"],  # the baseline holds it already
        ["`net.2.ssm`", ""],
    ]
    text = page(made.big(30))
    assert rows(text, "Layers, worst first")[2][0] == "`backbone.layers.29.mixer.ssm`"
    assert "and 10 more layers" in text


def test_checkpoints_stand_worst_first():
    bad = checked("bad.pth", findings=[finding("STB001", Level.ERROR)])
    so_so = checked("warned.pth", findings=[finding("MEM002", Level.WARNING)])
    text = page(run(checked("good.pth"), so_so, bad, unread()))
    table = rows(text[: text.index("###")], "| checkpoint")
    assert [row[:3] for row in table[2:]] == [
        ["`lost.pth`", "**not judged**", "-"],
        ["`bad.pth`", "**fail**", "1"],
        ["`warned.pth`", "**warn**", "0"],
        ["`good.pth`", "**pass**", "0"],
    ]
    heads = re.findall(r"^### `(.*?)`", text, re.MULTILINE)
    assert heads == ["lost.pth", "bad.pth", "warned.pth", "good.pth"]
    many = page(run(*(checked(f"{i}.pth") for i in range(60))))
    assert "and 10 more checkpoints" in many


def test_two_thousand_layers_with_findings_fit_a_comment():
    text = page(made.big(2_000))
    assert size(text) < 60_000
    assert "and 1,980 more layers" in text
    assert "all 2000 layers, most in `backbone.layers.1999.mixer.ssm`" in text


def test_nothing_makes_a_page_larger_than_a_comment():
    name = HOSTILE * 40
    names = [f"{i}.{name}" for i in range(240)]
    found = [
        replace(finding(f"ABC{i % 120:03}", Level.ERROR, name), message=f"{i} {HOSTILE * 20}")
        for i, name in enumerate(names)
    ]
    what = run(
        *(
            checked(f"{i}{name}", [layer(name) for name in names], found, skipped=names)
            for i in range(3)
        ),
        unread(name, name),
        baselines=(name,) * 100,
    )
    text = page(what)
    assert ROOM / 2 < size(text) <= ROOM
    shown = Rendered(text)
    assert "Left out for length:" in shown.other
    assert re.search(r"\d+ findings", shown.other)


@pytest.mark.parametrize("room", [0, 50, 300, 1_000, 3_000, 10_000, 1_000_000])
def test_a_page_is_cut_between_blocks(room):
    what = run(*(made.compared().files * 5), baselines=("base.json",))
    text = cut(what, room)
    assert size(text) <= room
    whole = cut(what, 10**9)
    if not text:
        assert room < 400
        return
    shown = Rendered(text)
    assert shown.tags.count("details") == shown.tags.count("summary")
    assert text.startswith(whole[:18])
    assert (text == whole) == (room >= size(whole))
    if text != whole:
        head, _, last = text.rpartition("**Left out for length:** ")
        assert set(head.splitlines()) <= set(whole.splitlines())
        assert last.endswith(". `--format json` has everything.\n")


def test_blocks_are_kept_by_rank_and_shown_by_place():
    ranked = zip("abcd", (0, 2, 1, 2), strict=True)
    blocks = [Block(f"{letter * 10}\n", rank, "block") for letter, rank in ranked]
    everything = fitted(blocks, 1_000, "{} more\n")
    assert everything == "\n".join(block.text for block in blocks)
    cut_off = fitted(blocks, 11 + 12 + 15, "{} more\n")
    assert cut_off == f"{'a' * 10}\n\n{'c' * 10}\n\n2 blocks more\n"
    assert fitted(blocks, 11 + 12 + 14, "{} more\n") == f"{'a' * 10}\n\n3 blocks more\n"
    assert fitted(blocks, 5, "{} more\n") == ""
    assert fitted([], 5, "{} more\n") == ""


def test_a_long_name_loses_its_middle():
    assert clipped("abcdefgh", 8) == "abcdefgh"
    assert clipped("abcdefghi", 8) == "abc…fghi"
    assert len(clipped("\x1b" * 100, 80)) == 80


def test_a_fixed_finding_is_counted_and_told():
    what = run(checked(fixed=[finding(value=0.4)]), baselines=("b.json",))
    text = page(what)
    assert "**Passed; 1 fixed.**" in text
    assert "- **ALI001** (note, fixed) net.0.ssm" not in text
    assert "(note, fixed) `net.0.ssm`: no longer found; the baseline said: 0.4" in text
    assert Status.FIXED.value in text
