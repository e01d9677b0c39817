"""A few hundred mutated files of each container: read or refused, and nothing else."""

import random

import pytest

fuzz = pytest.importorskip("fuzz")
mutations = pytest.importorskip("mutations")


@pytest.mark.parametrize("container", list(fuzz.CONTAINERS))
def test_mutated_files_are_read_or_refused(container):
    tally = fuzz.fuzz(200, 0, fuzz.Guard(), (container,))
    assert tally.falls == []
    assert tally.outcomes[container, "refused"] > 50


def test_the_guard_forbids_and_the_tally_can_fail(tmp_path):
    guard = fuzz.Guard(folder=str(tmp_path))
    guard("open", ("/etc/passwd", "r", 0))  # not armed
    guard.armed = True
    guard("open", (str(tmp_path / "x"), "rb", 0))
    for event, arguments in (
        ("open", ("/etc/passwd", "r", 0)),
        ("open", (str(tmp_path / "x"), "w", 0)),
        ("os.system", ("true",)),
        ("exec", (None,)),
    ):
        with pytest.raises(fuzz.ForbiddenError):
            guard(event, arguments)
    assert mutations.flipped(b"abc", random.Random(1)) != b"abc"
    tally = fuzz.Tally()
    tally.add("npz", 7, "ValueError: out of nowhere", 0.1)
    assert tally.falls == [("npz", 7, "ValueError: out of nowhere")]
