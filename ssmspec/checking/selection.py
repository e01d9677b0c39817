"""Which findings count: rule codes and prefixes of them, as linters take them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ssmspec.errors import UsageError
from ssmspec.naming import did_you_mean
from ssmspec.rules import RULES


@dataclass(frozen=True)
class Selection:
    """Codes and prefixes that findings are narrowed down to, and that are left out.

    What is both selected and ignored is left out.

    Attributes:
        select: empty for all.
        ignore: left out.

    Raises:
        UsageError: one of them begins no code; the message names the nearest.
    """

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for key in ("select", "ignore"):
            for prefix in getattr(self, key):
                if not prefix or not any(code.startswith(prefix) for code in RULES):
                    groups = {code.rstrip("0123456789") for code in RULES}
                    near = did_you_mean(prefix, [*RULES, *groups])
                    raise UsageError(f"{key}: no rule's code begins with {prefix!r}; {near}")

    def keeps(self, code: str) -> bool:
        """Whether findings of this rule count."""
        return (not self.select or code.startswith(self.select)) and not code.startswith(
            self.ignore
        )


def codes_in(texts: Iterable[str]) -> tuple[str, ...]:
    """Codes of a repeatable, comma-separated option, upper case: `ali, COV001` is two."""
    return tuple(part.strip().upper() for text in texts for part in text.split(","))
