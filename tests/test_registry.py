import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from ssmspec import registry
from ssmspec.arrays import quantile, row_quantiles
from ssmspec.errors import SsmspecError, UsageError
from ssmspec.registry import Registry

np = pytest.importorskip("numpy")


def table(*ids):
    return Registry("thing", "ssmspec.things", ids, key=lambda record: record)


def test_records_keep_their_order_and_unknown_ids_name_the_nearest():
    things = table("beta", "alpha")
    assert list(things) == ["beta", "alpha"]
    assert things.require("alpha") == "alpha"
    with pytest.raises(UsageError, match="did you mean 'alpha'"):
        things.require("alpah")


def test_a_duplicate_id_is_refused():
    with pytest.raises(SsmspecError, match="two thing records share the id 'a'"):
        list(table("a", "b", "a"))


def published(tmp_path, record):
    """An interpreter's view of the families when an installed distribution publishes one."""
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ssmspec.families]\ntheirs = theirs:FAMILY\n")
    (tmp_path / "theirs.py").write_text(
        "from dataclasses import replace\nfrom ssmspec.families import s4d\n"
        f"FAMILY = replace(s4d.FAMILY, id={record!r})\n"
    )
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from ssmspec.families import FAMILIES; print(*FAMILIES)"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_a_third_party_publishes_a_family_by_entry_point(tmp_path):
    assert "my-family" in published(tmp_path, "my-family").stdout.split()


def test_a_duplicate_from_a_third_party_names_both_origins(tmp_path):
    error = published(tmp_path, "s4d").stderr
    assert "one from ssmspec, one from entry point 'theirs' = theirs:FAMILY" in error


@pytest.mark.parametrize(
    "source", ["raise RuntimeError('gone')", "FAMILY = 3", "import sys; sys.exit(0)"]
)
def test_a_broken_plugin_is_named(tmp_path, source):
    point = EntryPoint("theirs", "broken_plugin:FAMILY", "ssmspec.families")
    with pytest.MonkeyPatch.context() as patch:
        (tmp_path / "broken_plugin.py").write_text(source)
        patch.syspath_prepend(tmp_path)
        patch.delitem(sys.modules, "broken_plugin", raising=False)
        patch.setattr(registry, "_published", lambda _: (point,))
        theirs = Registry("family", "ssmspec.families", (), key=lambda family: family.id)
        with pytest.raises(SsmspecError, match=r"'theirs' = broken_plugin:FAMILY; mend or"):
            len(theirs)


@pytest.mark.parametrize("size", [1, 2, 3, 10, 101])
@pytest.mark.parametrize("level", [0.0, 0.05, 0.25, 0.5, 0.75, 1.0])
def test_quantiles_are_those_of_numpy(size, level):
    values = np.random.default_rng(size).normal(size=(4, size))
    np.testing.assert_allclose(
        row_quantiles(values, level), np.quantile(values, level, axis=1), rtol=1e-13, atol=1e-15
    )
    assert quantile(values, level) == pytest.approx(np.quantile(values, level), rel=1e-13)
