"""The index of leaf names finds what asking every module finds."""

from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from ssmspec.checkpoints.memory import MemoryCheckpoint
from ssmspec.families import FAMILIES, lookalikes
from ssmspec.families.catalog import Catalog, Module

PARTS = ("layers", "10", "2", "kernel", "self_attn", "rg_lru", "mlp", "opt_state", "w_lora", "lora")
LEAVES = (
    "A_log", "dt_bias", "D", "log_dt", "log_A_real", "A_imag", "A_real", "inv_dt", "inv_A_real",
    "Lambda_re", "Lambda_im", "Lambda", "log_step", "B", "C", "P", "W", "A", "poles", "residues",
    "log_poles", "nu_log", "theta_log", "theta", "log_xi", "time_decay", "w0", "w1", "w2", "k_k",
    "a_param", "recurrent_param", "in_proj_ba", "dt_proj_bias", "bias", "weight", "exp_avg", "q",
)  # fmt: skip


class Asking(Catalog):
    """A catalog that asks every module."""

    def having(self, *leaves: str) -> list[Module]:
        return [module for module in self if all(leaf in module.leaves for leaf in leaves)]

    def having_any(self, leaves: Iterable[str]) -> list[Module]:
        wanted = set(leaves)
        return [module for module in self if wanted & set(module.leaves)]


def _trees() -> Iterator[dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    for _ in range(60):
        paths = [rng.choice(PARTS, rng.integers(0, 4)) for _ in range(12)]
        names = [
            [*path, leaf] for path in paths for leaf in rng.choice(LEAVES, rng.integers(1, 30))
        ]
        shapes = ((4,), (4, 4), (4, 2), (1, 1, 4))
        separator = str(rng.choice([".", "/", "__"]))
        yield {separator.join(name): np.zeros(shapes[rng.integers(len(shapes))]) for name in names}


def _found(catalog: Catalog) -> list[object]:
    families = {family.id: list(family.find(catalog)) for family in FAMILIES.values()}
    return [families, list(lookalikes.find(catalog)), catalog.optimizer_tensors]


def test_index_finds_what_asking_every_module_finds() -> None:
    sites = 0
    for tree in _trees():
        checkpoint = MemoryCheckpoint(tree)
        found = _found(Catalog(checkpoint))
        assert found == _found(Asking(checkpoint))
        sites += sum(map(len, found[0].values()))  # type: ignore[attr-defined]
    assert sites > 500


@pytest.mark.parametrize(("separator", "name"), [(".", "a.b"), ("/", "a/b"), ("__", "a___b")])
def test_separators_split_from_the_left(separator: str, name: str) -> None:
    catalog = Catalog(MemoryCheckpoint({f"x{separator}y": np.zeros(1), name: np.zeros(1)}))
    assert catalog.module("a").leaves == {name.split(separator)[1]: name}
