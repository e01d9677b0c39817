"""Fill the generated parts of the README and the docs from the tables and the program itself.

`python docs/generate.py` writes them; `--check` says which are out of date and exits 1.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from schemas import SCHEMAS, as_text

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 80

os.environ |= {"TERMINAL_WIDTH": str(WIDTH), "NO_COLOR": "1", "TERM": "dumb"}
os.chdir(ROOT)

from ssmspec.analysis.report import analyze  # noqa: E402 - after the width is set
from ssmspec.cli import run  # noqa: E402
from ssmspec.families import FAMILIES  # noqa: E402
from ssmspec.field import table as public_models  # noqa: E402
from ssmspec.metrics import METRICS  # noqa: E402
from ssmspec.rules import RULES, is_off  # noqa: E402
from ssmspec.schemes import SCHEMES  # noqa: E402
from ssmspec.training.settings import preset_names, read_preset  # noqa: E402
from ssmspec.training.tasks import TASKS  # noqa: E402
from ssmspec.writers import WRITERS, Page  # noqa: E402
from ssmspec.writers.parts.numbers import near_one  # noqa: E402

PAGES = (
    "README.md", "docs/reading.md", "docs/metrics.md", "docs/rules.md", "docs/schemes.md",
    "docs/families.md", "docs/selective.md", "docs/ci.md", "docs/training.md", "docs/cli.md",
    "docs/field.md",
)  # fmt: skip
BLOCK = re.compile(
    r"(<!-- begin (?P<what>\w+)(?:: (?P<with>[^>]*?))? -->\n).*?(<!-- end (?P=what) -->)", re.DOTALL
)


def report(arguments: str) -> str:
    """The text report of a sample, as an 80-column terminal shows it."""
    path, _, length = arguments.partition(" --seq-len ")
    text = WRITERS["text"].render(analyze(path, seq_len=int(length)), Page(width=WIDTH))
    return f"```\n$ ssmspec analyze {arguments}\n{text}```\n"


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A markdown table."""
    lines = [list(header)]
    lines.append(["---"] * len(lines[0]))
    lines += [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def families(_: str) -> str:
    """The families table."""
    return table(
        ("family", "name", "layout", "poles"),
        ((f"`{f.id}`", f.title, f.summary, f.formula) for f in FAMILIES.values()),
    )


def family_pages(_: str) -> str:
    """One section a family: its own module's account of the stored tensors."""
    return "\n".join(
        f"## `{f.id}`: {f.title}\n\n{f.summary[0].upper()}{f.summary[1:]}.\n\n"
        f"- Poles: {f.formula}\n"
        f"- Starts from: {', '.join(f.known_inits) or 'none that a file is compared with'}\n"
        f"- Read from: {f.source}\n\n```\n{inspect.getdoc(inspect.getmodule(f.read))}\n```\n"
        for f in FAMILIES.values()
    )


def file(path: str) -> str:
    """A file of the repository, as it is."""
    return f"```{path.rpartition('.')[2]}\n{(ROOT / path).read_text(encoding='utf-8')}```\n"


def tasks(_: str) -> str:
    """The tasks table."""
    rows = []
    for t in TASKS.values():
        settings = ", ".join(f"`{name}={value}`" for name, value in t.settings)
        rows.append((f"`{t.id}`", t.summary, settings, t.needs or "nothing: it makes its own data"))
    return table(("task", "what it is", "settings", "needs"), rows)


def presets(_: str) -> str:
    """The settings of every preset that ships with the package."""
    keys = ("task", "n_layers", "d_model", "d_state", "norm", "prenorm", "dropout", "lr",
            "batch_size", "epochs", "weight_decay", "xi_min")  # fmt: skip
    rows = []
    for name in preset_names():
        settings = read_preset(name)
        rows.append((f"`{name}`", *(str(settings.get(key, "")) for key in keys)))
    return table(("preset", *keys), rows)


PICTURES = {
    "step_size": ("sweep", "What dt does: the step sizes of a sample scaled from 1/16 to 16"),
    "stability": ("poles", "Poles on the unit disk, and its rim unrolled: decay against frequency"),
    "aliasing": ("figure3", "Poles at three step sizes; crosses pass Nyquist and are folded back"),
    "coverage": ("coverage", "What two S5 layers reach of the band, and what they do not"),
    "distribution": ("coverage", ""),
    "memory": ("timescales", "Time constants of a Mamba model by octave, L marked"),
    "entanglement": ("entanglement", "Lines are entanglement: one knob moves decay and frequency"),
    "initialization": ("trajectory", "Where poles go in training, from their initialization on"),
    "kernel_response": (
        "response",
        "Gain over frequency of a model trained on sequential CIFAR-10 (FedeArang/s4 9381698)",
    ),
    "kernel_energy": (
        "kernels",
        "Kernels of the same model and their energy by lag: local, with a comb at the image's rows",
    ),
    "heard": ("response", ""),
    "kernel_hankel": ("response", ""),
    "kernel_redundancy": ("poles", ""),
}
"""A figure and its caption for each topic of metrics; without a caption it was shown before."""


def picture(topic: str) -> str:
    """The figure of a topic, or a link to it."""
    name, caption = PICTURES[topic]
    image = f"figures/{name}.png"
    return f"![{caption}]({image})\n\n*{caption}.*\n" if caption else f"[Picture]({image}).\n"


def metrics(_: str) -> str:
    """One section a metric, after the picture of its topic."""
    sections: list[str] = []
    topic = ""
    for m in METRICS.values():
        before, topic = topic, m.measure.__module__.rpartition(".")[2]
        needs = ", ".join(need.label for need in m.needs) or "nothing more than finite poles"
        healthier = {"higher": "higher is healthier", "lower": "lower is healthier"}.get(
            m.direction.value, "neither direction is healthier"
        )
        sections.append(
            f"## `{m.id}`\n\n{m.summary[0].upper()}{m.summary[1:]}.\n\n"
            f"- Definition: {m.formula}\n- Unit: {m.unit}; {healthier}\n- Needs: {needs}\n"
            f"- Model: {m.aggregate.value}\n" + (f"- Mind: {m.note}\n" if m.note else "")
        )
        if topic != before:
            sections.append(picture(topic))
    return "\n".join(sections)


def rules(_: str) -> str:
    """One section a rule."""
    sections = []
    for r in RULES.values():
        threshold = "" if r.threshold is None else f"; threshold {r.threshold:g}"
        threshold += "; off in the preset `recommended`" if is_off(r.code) else ""
        sections.append(
            f"## {r.code}: {r.title}\n\n{r.why}\n\n"
            f"- Level: {r.level.value}{threshold}\n- What to do: {r.advice}\n- Source: {r.source}\n"
        )
    return "\n".join(sections)


def schemes(_: str) -> str:
    """One section a scheme."""
    return "\n".join(
        f"## `{s.id}`: {s.title}\n\n`{s.formula}`\n\n{s.explanation}\n\n"
        f"- Options: {', '.join(s.options) or 'none'}\n- Source: {s.source}\n"
        for s in SCHEMES.values()
    )


def field(_: str) -> str:
    """What public models of each family measure."""
    rows: dict[str, list[tuple[str, ...]]] = {}
    for (family, metric), sample in public_models().items():
        counts = f"{sample.recipes} / {sample.models} / {sample.layers}"
        low, _, middle, _, high = map(near_one, sample.quantiles or [None] * 5)
        ends = f"{near_one(sample.least)} .. {near_one(sample.most)}"
        rows.setdefault(family, []).append((f"`{metric}`", low, middle, high, ends, counts))
    header = ("metric", "5 %", "median", "95 %", "range", "recipes / models / layers")
    return "\n".join(
        f"## `{family}`: {FAMILIES[family].title}\n\n{table(header, lines)}"
        for family, lines in rows.items()
    )


def command(arguments: str) -> str:
    """What `--help` prints."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        run([*arguments.split(), "--help"])
    plain = "\n".join(line.rstrip() for line in text.getvalue().strip().splitlines())
    return f"```\n$ ssmspec {arguments} --help\n{plain}\n```\n"


MAKERS: dict[str, Callable[[str], str]] = {
    "report": report,
    "families": families,
    "family_pages": family_pages,
    "tasks": tasks,
    "presets": presets,
    "file": file,
    "metrics": metrics,
    "rules": rules,
    "schemes": schemes,
    "field": field,
    "command": command,
}


def filled(text: str) -> str:
    """A page with every generated block made anew."""

    def make(block: re.Match[str]) -> str:
        return f"{block[1]}{MAKERS[block['what']](block['with'] or '')}{block[4]}"

    return BLOCK.sub(make, text)


def generated() -> Iterator[tuple[str, str, str]]:
    """Every page and every schema: its name, what it holds and what it should."""
    for name in PAGES:
        before = (ROOT / name).read_text(encoding="utf-8")
        yield name, before, filled(before)
    for kind, schema in SCHEMAS.items():
        path = ROOT / f"docs/schema/{kind}.schema.json"
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        yield str(path.relative_to(ROOT)), before, as_text(schema())


def main() -> int:
    """Write or check all of them."""
    stale = []
    for name, before, after in generated():
        if before != after:
            stale.append(name)
            if "--check" not in sys.argv:
                (ROOT / name).write_text(after, encoding="utf-8")
    if stale:
        sys.stdout.write(f"out of date: {', '.join(stale)}\n")
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
