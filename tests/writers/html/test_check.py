import shlex

import pytest

from ssmspec.outcome import Level
from ssmspec.results.check import WHOLE_MODEL
from ssmspec.writers import Page
from ssmspec.writers.check import CHECK_WRITERS
from tests.examples import check as made
from tests.examples.check import HOSTILE, checked, finding, layer, run, unread
from tests.examples.html_pages import parsed


def page(what):
    return parsed(CHECK_WRITERS["html"].render(what, Page()))


def listed(tree):
    """The list of checkpoints on top: its lines, cell by cell."""
    body = tree.one("section", id="checkpoints").one("tbody")
    return [
        [cell.text.strip() for cell in line.children if getattr(cell, "tag", "") in ("th", "td")]
        for line in body.all("tr")
    ]


def test_the_checkpoints_come_first_worst_first_and_lead_to_their_sections():
    tree = page(
        run(
            checked("good.pth"),
            checked("bad.pth", findings=[finding("STB001", Level.ERROR)]),
            unread("lost.pth"),
        )
    )
    assert listed(tree) == [
        ["lost.pth", "Could not be judged", "lost.pth: No such file or directory"],
        ["bad.pth", "Fail", "1", "1 error", "1"],
        ["good.pth", "Pass", "1", "none", "0"],
    ]
    verdict = tree.one("header").one("div", class_="verdict")
    assert "none" in verdict["class"].split()
    assert "could not judge 1 of 3 checkpoints" in verdict.text
    sections = {section["id"]: section for section in tree.all("section", class_="subject")}
    for link, title in zip(
        tree.one("section", id="checkpoints").all("a"), ("lost", "bad", "good"), strict=True
    ):
        assert sections[link["href"][1:]].one("h2").text == f"{title}.pth"
    ids = [element["id"] for element in tree.all() if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    assert {link["href"][1:] for link in tree.all("a")} <= set(ids)


@pytest.mark.parametrize(
    ("what", "word", "code"),
    [
        (run(checked()), "Gate passed", "0"),
        (run(checked(findings=[finding("STB001", Level.ERROR)])), "Gate failed", "1"),
        (
            run(checked(findings=[finding("STB001", Level.ERROR)]), exit_zero=True),
            "Gate failed",
            "0",
        ),
        (run(unread()), "Could not judge", "2"),
    ],
)
def test_the_verdict_says_what_the_exit_code_means(what, word, code):
    header = page(what).one("header")
    assert header.one("strong").text == word
    assert code in [value.text for value in header.all("dd")]


def test_new_unchanged_and_fixed_are_said_by_those_words():
    tree = page(made.compared())
    tags = {
        article.one("code").text: [tag.text for tag in article.all("span", class_="tag")]
        for article in tree.all("article", class_="finding")
    }
    assert tags == {
        "STB001": ["new", "fails the gate"],
        "MEM002": ["new"],
        "STB002": ["unchanged"],
        "ALI001": ["unchanged"],
        "COV001": ["fixed"],
    }
    fixed = tree.one("article", class_="fixed")
    assert "no longer found; the baseline said: 0.4 of it" in fixed.text
    (line,) = listed(tree)
    assert line[-3:] == ["2", "2", "1"]
    assert "base.json" in tree.one("header").text


def test_what_is_said_of_the_whole_model_leads_nowhere():
    regression = finding("REG001", Level.ERROR, WHOLE_MODEL, 0.8)
    tree = page(run(checked(layers=[layer("a.0"), layer("a.1")], findings=[regression])))
    article = tree.one("article", class_="finding")
    assert "the model as a whole" in article.text
    assert not list(article.all("a"))


def test_hostile_names_are_text():
    bad = layer(HOSTILE)
    found = finding(layer=HOSTILE)
    tree = page(
        run(
            checked(HOSTILE, [bad, layer("b.1")], [found], skipped=[HOSTILE], fixed=[found]),
            unread(HOSTILE, HOSTILE),
            config=HOSTILE,
            hints=(HOSTILE,),
        )
    )
    assert len(list(tree.all("script"))) == 1
    assert not [e for e in tree.all() if any(name.startswith("on") for name in e.attributes)]
    assert tree.text.count("<script>alert(1)</script>[red]@team #1 www.evil.org") >= 6
    assert not {"\x1b", "\u202e"} & set(tree.text)


def test_the_command_names_every_option_the_run_knows():
    what = run(
        checked("a b.pth"),
        select=("ALI", "STB001"),
        ignore=("COV",),
        baselines=("x.json", "y.json"),
        config="ssmspec.toml",
        fail_on=Level.INFO,
        exit_zero=True,
    )
    words = shlex.split(page(what).one("pre").text)
    assert words == [
        "ssmspec", "check", "a b.pth", "--seq-len", "1024", "--preset", "recommended",
        "--fail-on", "info", "--config", "ssmspec.toml", "--select", "ALI,STB001",
        "--ignore", "COV", "--baseline", "x.json", "--baseline", "y.json", "--exit-zero",
        "--format", "html=report.html",
    ]  # fmt: skip


def test_a_run_of_many_checkpoints_shares_the_figures(monkeypatch):
    monkeypatch.setattr("ssmspec.writers.html.page.MOST_FIGURES", 3)
    samples = [f"sample_checkpoints/{name}.safetensors" for name in ("lru", "s5")]
    tree = page(made.analyzed(*samples, seq_len=1024))
    figures = [
        len(list(s.all("article", class_="layer"))) for s in tree.all("section", class_="subject")
    ]
    assert sorted(figures) == [1, 2]


def test_a_model_of_two_thousand_layers_stays_small():
    text = CHECK_WRITERS["html"].render(made.big(), Page())
    assert len(text.encode()) < 3_000_000
    parsed(text)
