"""Checks made by hand, for the tests of their formats."""

import ssmspec
from ssmspec.metrics import METRICS as TABLE
from ssmspec.outcome import Finding, Level, Measured, NotApplicable, Skipped
from ssmspec.results.base import CheckpointSummary
from ssmspec.results.check import CheckedFile, CheckRun, JudgedFinding, Status
from ssmspec.results.report import LayerReport, Report
from ssmspec.rules import RULES

HOSTILE = (
    "a`b|c<script>alert(1)</script>[red]@team #1 www.evil.org "
    "##[set-output name=verdict]x%,:\n\x1b[31m::set-output name=verdict::x\u202e.k"
)
"""A name that tries Markdown, HTML, rich, terminals, mentions, links and workflow commands."""

METRICS = ("coverage", "aliased_fraction", "spectral_flatness", "memory_ratio")


def finding(code="ALI001", level=Level.INFO, layer="net.0.ssm", value=0.2, threshold=0.01):
    """One finding whose message shows its value."""
    return Finding(code, level, layer, f"{value} of it, too much. Do less", value, threshold)


def layer(name="net.0.ssm", **metrics):
    """One S4D layer with a few metrics."""
    values = dict.fromkeys(METRICS, 0.5) | metrics
    return LayerReport(
        name=name,
        family="s4d",
        family_title="S4D",
        discretization="zoh",
        symmetry="half",
        channels=128,
        modes=32,
        selective=False,
        metrics={
            key: NotApplicable("no reason") if value is None else Measured(value, TABLE[key].unit)
            for key, value in values.items()
        },
    )


def report(layers, findings=(), path="model.pth", skipped=(), assumptions=()):
    """An analysis of some layers."""
    return Report(
        checkpoint=CheckpointSummary(path, "torch-zip", 12345, 7, "0" * 64),
        layers=tuple(layers),
        model={},
        findings=tuple(findings),
        skipped=tuple(Skipped(name, "it is not diagonal") for name in skipped),
        assumptions=tuple(assumptions),
        sequence_length=1024,
    )


def checked(path="model.pth", layers=(), findings=(), statuses=None, fixed=(), **fields):
    """One judged checkpoint; `statuses` go with `findings`, every rule has judged every layer."""
    shown = layers or [layer()]
    statuses = statuses or [None] * len(findings)
    return CheckedFile(
        path=path,
        report=report(
            shown, findings, path, fields.pop("skipped", ()), fields.pop("assumptions", ())
        ),
        findings=tuple(map(JudgedFinding, findings, statuses)),
        fixed=tuple(fixed),
        tested={part.name: tuple(RULES) for part in shown},
        **fields,
    )


def unread(path="lost.pth", error="lost.pth: No such file or directory"):
    """One checkpoint that could not be judged."""
    return CheckedFile(path=path, report=None, error=error)


def run(*files, **fields):
    """A run of the gate under the recommended preset."""
    return CheckRun(files=files, preset="recommended", **fields)


def analyzed(*sources, fail_on=Level.ERROR, **options):
    """The check of real checkpoints, each judged by the recommended rules."""
    files = []
    for source in sources:
        measured = ssmspec.analyze(source, **options)
        files.append(
            CheckedFile(
                path=measured.checkpoint.path,
                report=measured,
                findings=tuple(map(JudgedFinding, measured.findings)),
                tested={part.name: tuple(RULES) for part in measured.layers},
                fail_on=fail_on,
            )
        )
    return run(*files, fail_on=fail_on)


def big(layers=2_000, per_layer=3):
    """A model in which every layer has findings, all different."""
    names = [f"backbone.layers.{i}.mixer.ssm" for i in range(layers)]
    codes = [("STB001", Level.ERROR), ("MEM002", Level.WARNING), ("ALI001", Level.INFO)]
    found = [
        finding(code, level, name, value=2 + 0.001 * i, threshold=1.0)
        for code, level in codes[:per_layer]
        for i, name in enumerate(names)
    ]
    return run(checked("big.pth", [layer(name) for name in names], found))


def compared():
    """A run against a baseline: one finding of every status, in a name of its own."""
    names = [f"net.{i}.ssm" for i in range(4)]
    return run(
        checked(
            layers=[layer(name) for name in names],
            findings=[
                finding("STB001", Level.ERROR, names[0], 3.0, 1.01),
                finding("MEM002", Level.WARNING, names[1], 0.5, 1.0),
                finding("STB002", Level.ERROR, names[3], None, None),
                finding("ALI001", Level.INFO, names[1]),
            ],
            statuses=[Status.NEW, Status.NEW, Status.UNCHANGED, Status.UNCHANGED],
            fixed=[finding("COV001", Level.INFO, names[2], 0.4, 0.9)],
        ),
        baselines=("base.json",),
    )
