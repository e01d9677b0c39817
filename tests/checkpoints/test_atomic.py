"""What stands under the output's name, whatever happens while it is written."""

import errno
import os
import stat

import pytest

from ssmspec.checkpoints import atomic
from ssmspec.checkpoints.atomic import atomic_folder, atomic_output
from ssmspec.errors import UsageError


def write(path, text="new", **options):
    with atomic_output(path, **{"force": False} | options) as temporary:
        assert temporary.parent == path.parent
        assert temporary.read_bytes() == b""
        temporary.write_text(text)


def write_folder(path, files, **options):
    with atomic_folder(path, files, **{"force": False} | options) as temporary:
        for name, text in files.items():
            (temporary / name).parent.mkdir(exist_ok=True)
            (temporary / name).write_text(text)


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def refused(call, *args, **options):
    with pytest.raises(UsageError) as caught:
        call(*args, **options)
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_a_file_appears_whole_with_ordinary_permissions(tmp_path):
    write(tmp_path / "x")
    assert names(tmp_path) == ["x"]
    assert (tmp_path / "x").read_text() == "new"
    (tmp_path / "y").touch()
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == stat.S_IMODE(
        (tmp_path / "y").stat().st_mode
    )


def test_an_existing_file_is_kept_without_force(tmp_path):
    (tmp_path / "x\x1b").write_text("old")
    assert "--force" in refused(write, tmp_path / "x\x1b")
    assert (tmp_path / "x\x1b").read_text() == "old"
    write(tmp_path / "x\x1b", force=True)
    assert (tmp_path / "x\x1b").read_text() == "new"
    assert names(tmp_path) == ["x\x1b"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("force", [True, False])
def test_a_failure_leaves_everything_as_it_was(tmp_path, error, force):
    if force:
        (tmp_path / "x").write_text("old")
    before = names(tmp_path)

    def fail_in_file():
        with atomic_output(tmp_path / "x", force=force) as temporary:
            temporary.write_text("half")
            raise error

    def fail_in_folder():
        with atomic_folder(tmp_path / "f", ["a"], force=force) as temporary:
            (temporary / "a").write_text("half")
            raise error

    for fail in (fail_in_file, fail_in_folder):
        with pytest.raises(error):
            fail()
    assert names(tmp_path) == before
    assert not force or (tmp_path / "x").read_text() == "old"


def test_a_full_disk_is_one_sentence(tmp_path):
    def fill():
        with atomic_output(tmp_path / "x", force=False):
            raise OSError(errno.ENOSPC, "No space left on device")

    assert "No space left" in refused(fill)
    assert names(tmp_path) == []


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_meanwhile_is_kept(tmp_path, monkeypatch, links):
    if not links:

        def no_link(*args):
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", no_link)

    def race():
        with atomic_output(tmp_path / "x", force=False) as temporary:
            temporary.write_text("new")
            (tmp_path / "x").write_text("theirs")

    assert "already exists" in refused(race)
    assert (tmp_path / "x").read_text() == "theirs"
    assert names(tmp_path) == ["x"]
    write(tmp_path / "y")
    assert names(tmp_path) == ["x", "y"]


def test_inputs_are_never_replaced(tmp_path):
    source = tmp_path / "source"
    source.write_text("input")
    (tmp_path / "hard").hardlink_to(source)
    (tmp_path / "soft").symlink_to(source)
    for output in (
        source,
        tmp_path / "hard",
        tmp_path / "soft",
        tmp_path / ".." / tmp_path.name / "source",
    ):
        for force in (True, False):
            message = refused(write, output, force=force, inputs=[tmp_path / "none", source])
            assert "is the input itself" in message
    write(tmp_path / "other", inputs=[source])
    assert source.read_text() == "input"


def test_links_are_replaced_and_not_followed(tmp_path):
    (tmp_path / "blob").write_text("shared")
    (tmp_path / "x").symlink_to("blob")
    (tmp_path / "dangling").symlink_to("nothing")
    for name in ("x", "dangling"):
        assert "already exists" in refused(write, tmp_path / name)
        write(tmp_path / name, force=True)
        assert not (tmp_path / name).is_symlink()
    assert (tmp_path / "blob").read_text() == "shared"
    assert names(tmp_path) == ["blob", "dangling", "x"]


def test_places_that_cannot_take_a_file(tmp_path, monkeypatch):
    (tmp_path / "d").mkdir()
    (tmp_path / "f").touch()
    os.mkfifo(tmp_path / "p")
    monkeypatch.chdir(tmp_path)
    for path, words in [
        ("none/x", "does not exist; create it"),
        ("f/x", "is not a folder"),
        ("d", "no regular file"),
        ("p", "no regular file"),
        ("/dev/null", "no regular file"),
        (".", "is a folder"),
        ("", "is a folder"),
        ("..", "is a folder"),
        ("a\0b", "no file name"),
        ("x" * 300, "cannot be written"),
    ]:
        assert words in refused(write, atomic.Path(path), force=True)
    assert names(tmp_path) == ["d", "f", "p"]


def test_a_forbidden_folder(tmp_path, monkeypatch):
    def forbid(*args, **options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", forbid)  # the superuser of a container may write anywhere
    assert "Permission denied" in refused(write, tmp_path / "x")


FILES = {"index.json": "{}", "sub/shard": "bytes"}


def test_a_folder_appears_whole(tmp_path):
    write_folder(tmp_path / "f", FILES)
    assert names(tmp_path) == ["f"]
    assert {name: (tmp_path / "f" / name).read_text() for name in FILES} == FILES
    assert "already exists" in refused(write_folder, tmp_path / "f", FILES)
    write_folder(tmp_path / "f", FILES | {"index.json": "[]"}, force=True)
    assert names(tmp_path) == ["f"]
    assert (tmp_path / "f" / "index.json").read_text() == "[]"


def test_a_folder_with_other_files_is_never_removed(tmp_path):
    write_folder(tmp_path / "f", FILES)
    for extra in ("notes.txt", "sub/notes.txt"):
        (tmp_path / "f" / extra).write_text("mine")
        assert "holds " + extra in refused(write_folder, tmp_path / "f", FILES, force=True)
        (tmp_path / "f" / extra).unlink()
    (tmp_path / "f" / "sub" / "shard").unlink()
    (tmp_path / "f" / "sub" / "shard").symlink_to(tmp_path)
    refused(write_folder, tmp_path / "f", FILES, force=True)
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("f")
    for name in ("file", "link"):
        assert "is not a folder" in refused(write_folder, tmp_path / name, FILES, force=True)


def test_a_folder_that_appears_meanwhile_is_kept(tmp_path):
    def race(make):
        with atomic_folder(tmp_path / "f", ["a"], force=False) as temporary:
            (temporary / "a").write_text("new")
            make()

    def their_folder():
        (tmp_path / "f").mkdir()
        (tmp_path / "f" / "theirs").touch()

    refused(race, their_folder)
    assert names(tmp_path / "f") == ["theirs"]
    (tmp_path / "f" / "theirs").unlink()
    (tmp_path / "f").rmdir()
    refused(race, (tmp_path / "f").touch)
    assert names(tmp_path) == ["f"]
    assert (tmp_path / "f").is_file()


def test_a_folder_around_an_input_is_refused(tmp_path):
    (tmp_path / "f").mkdir()
    (tmp_path / "blob").write_text("input")
    (tmp_path / "f" / "shard").symlink_to(tmp_path / "blob")
    for output in (tmp_path / "f", tmp_path):
        message = refused(
            write_folder, output, {"shard": ""}, force=True, inputs=[tmp_path / "f" / "shard"]
        )
        assert "contains the input" in message


def test_a_folder_that_cannot_be_put_in_place_leaves_the_old_one(tmp_path, monkeypatch):
    write_folder(tmp_path / "f", {"a": "old"})
    rename = atomic.Path.rename

    def fail_at_the_last_step(path, target):
        if target == tmp_path / "f" and (path / "a").read_text() == "new":
            raise OSError(errno.EIO, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(atomic.Path, "rename", fail_at_the_last_step)
    refused(write_folder, tmp_path / "f", {"a": "new"}, force=True)
    assert names(tmp_path) == ["f"]
    assert (tmp_path / "f" / "a").read_text() == "old"
