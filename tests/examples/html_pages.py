"""Reports for the tests of HTML, and a reading of pages that does not trust them."""

from html.parser import HTMLParser
from pathlib import Path

from ssmspec.analysis.face import AnalyzedReport as Report
from ssmspec.outcome import Finding, Level, Measured, NotApplicable
from ssmspec.results.base import CheckpointSummary
from ssmspec.results.report import LayerReport, ModelMetric
from ssmspec.writers import WRITERS, Page

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
"""Where Debian's packages put them."""

HOSTILE = (
    "x.<script>window.pwned=1</script>.\"'><img src=x onerror='window.pwned=2'>"
    ".[red]{{7*7}}&lt;\u202e\x1b[31m"
)
"""What a tensor may be called to hurt a page, a template or a terminal."""

VOID = {"br", "wbr", "meta", "img", "input", "link", "hr", "path", "use", "circle", "rect", "image"}


class Element:
    """One element: tag, attributes, children (elements and strings)."""

    def __init__(self, tag, attributes):
        self.tag, self.attributes, self.children = tag, dict(attributes), []

    def __getitem__(self, name):
        return self.attributes[name]

    def get(self, name, default=None):
        return self.attributes.get(name, default)

    @property
    def text(self):
        return "".join(c if isinstance(c, str) else c.text for c in self.children)

    def all(self, tag=None, **attributes):
        """Every element under this one that has this tag and these attributes."""
        for child in self.children:
            if isinstance(child, Element):
                wanted = {key.rstrip("_"): value for key, value in attributes.items()}
                if tag in (None, child.tag) and all(
                    value in (child.get(key) or "").split()
                    if key == "class"
                    else child.get(key) == value
                    for key, value in wanted.items()
                ):
                    yield child
                yield from child.all(tag, **attributes)

    def one(self, tag=None, **attributes):
        (found,) = self.all(tag, **attributes)
        return found


class _Tree(HTMLParser):
    """Builds elements and refuses a page whose tags do not nest."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.root = Element("root", {})
        self.open = [self.root]

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute twice in {tag}"
        element = Element(tag, attrs)
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.open[-1].children.append(Element(tag, attrs))

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data):
        self.open[-1].children.append(data)


def parsed(page):
    """The page as a tree; every tag is closed where it was opened."""
    tree = _Tree()
    tree.feed(page)
    tree.close()
    assert tree.open == [tree.root]
    return tree.root


def render(what):
    """The page of a report, as text."""
    return WRITERS["html"].render(what, Page())


def page(what):
    """The page of a report, as a tree."""
    return parsed(render(what))


def layer(name="net.0.ssm", family="S4D", symmetry="half", **metrics):
    """A layer whose numbers are the test's own; None is not applicable."""
    values = {
        "step_size_min": 0.001,
        "step_size_max": 0.1,
        "unstable_fraction": 0.0,
        "time_constant_median": 140.0,
        "coverage": 0.5,
        "spectral_flatness": 0.67,
        "aliased_fraction": 0.108,
        "entanglement": 0.98,
    } | metrics
    return LayerReport(
        name=name,
        family="s4d",
        family_title=family,
        discretization="zoh",
        symmetry=symmetry,
        channels=128,
        modes=32,
        selective=False,
        metrics={
            key: NotApplicable("there is no reason") if value is None else Measured(value, "1")
            for key, value in values.items()
        },
        power=tuple([0.5] + [0.5 / 127] * 127) if symmetry == "half" else (),
        timescales=(0.25, 0.5, 0.25, 0.0),
        lags=(0.5, 0.25, 0.25) if symmetry == "half" else (),
    )


def report(*layers, path="some/model.pth", **fields):
    """A report of these layers, as an analysis would give it, without an origin."""
    return Report(
        checkpoint=CheckpointSummary(path, "torch-zip", 12345, 7, "f" * 64),
        layers=layers,
        model={
            key: ModelMetric(outcome, "maximum over layers")
            for key, outcome in (layers[0].metrics.items() if layers else ())
        },
        **fields,
    )


def finding(code="ALI001", level=Level.INFO, where="net.0.ssm", value=0.108, message=None):
    """A finding whose message is the test's own."""
    return Finding(code, level, where, message or f"{code} found {value}", value, 0.01)


def cells(tree):
    """{layer label: {metric: cell}} of the full table."""
    table = tree.one("table", class_="numbers")
    names = [
        th.children[0] if len(th.children) == 1 else th.text.strip().split(" ")[0]
        for th in table.one("thead").all("th")
    ]
    rows = {}
    for tr in table.one("tbody").all("tr"):
        entries = [e for e in tr.children if getattr(e, "tag", None) in ("th", "td")]
        rows[entries[0].text] = dict(zip(names, entries, strict=True))
    return rows
