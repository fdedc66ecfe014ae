"""Files in a folder that somebody else writes to."""

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from rnnjax.errors import ConfigError, RunError
from rnnjax.system import files, outputs
from rnnjax.system.files import UntrustedFileError

SECRET = b"somebody's own"


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def make_device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))  # the null device
    except PermissionError:
        pytest.skip("only root makes devices")


PLANTS: dict[str, Callable[[Path, Path], object]] = {
    "link": lambda path, outside: path.symlink_to(outside),
    "link_to_nowhere": lambda path, outside: path.symlink_to(outside.with_name("nowhere")),
    "fifo": lambda path, outside: os.mkfifo(path),
    "socket": lambda path, outside: make_socket(path),
    "device": lambda path, outside: make_device(path),
    "folder": lambda path, outside: path.mkdir(),
}
FLAGS = {
    "read": os.O_RDONLY,
    "change": os.O_RDWR | os.O_CREAT,
    "create": os.O_WRONLY | os.O_CREAT | os.O_EXCL,
}


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "outside"
    path.write_bytes(SECRET)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
def test_nothing_but_a_file_is_opened(
    tmp_path: Path, outside: Path, plant: Callable[[Path, Path], object], flags: int
) -> None:
    path = tmp_path / "file"
    plant(path, outside)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UntrustedFileError, match=f"{path} is a "):
        files.open_file(path, flags)
    assert outside.read_bytes() == SECRET
    assert sorted(tmp_path.iterdir()) == before


def test_a_file_of_two_names_is_read_but_not_changed(tmp_path: Path, outside: Path) -> None:
    path = tmp_path / "file"
    path.hardlink_to(outside)
    assert files.read_bytes(path) == SECRET
    with pytest.raises(UntrustedFileError, match="another name"):
        files.open_file(path, os.O_RDWR)
    files.write_json(path, {})  # replaces the name, not the file
    assert outside.read_bytes() == SECRET


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
def test_a_draft_replaces_whatever_has_its_name(
    tmp_path: Path, outside: Path, plant: Callable[[Path, Path], object]
) -> None:
    plant(tmp_path / "file.tmp", outside)
    files.write_json(tmp_path / "file.json", {"a": 1})
    assert files.read_bytes(tmp_path / "file.json") == b'{\n  "a": 1\n}\n'
    assert not os.path.lexists(tmp_path / "file.tmp")
    assert outside.read_bytes() == SECRET


def test_new_files_have_the_rights_that_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        files.create(tmp_path / "file").close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        files.create(tmp_path / "file")


def test_what_is_damaged_never_replaces_what_was_before(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        (tmp_path / "file").write_bytes(SECRET)
        names.append(files.move_aside(tmp_path / "file"))
    assert names == ["file.damaged", "file.damaged2", "file.damaged3"]
    assert all((tmp_path / name).read_bytes() == SECRET for name in names)


def test_a_backslash_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Orbax would write beside the folder, what it then does not find."""
    folder = tmp_path / "a\\b"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(folder)
    for value in (folder, folder / "run", tmp_path / "link", "run"):
        with pytest.raises(ConfigError, match="backslash"):
            files.local_path("--workdir", value)


@pytest.mark.parametrize("url", ["gs://bucket/run", "s3://bucket", "file:///tmp/run", "HTTP://x"])
def test_urls_are_no_folders(url: str) -> None:
    for value in (url, Path(url)):
        with pytest.raises(ConfigError, match=r"--workdir=.* is no folder of a disk"):
            files.local_path("--workdir", value)


def test_home_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    assert files.local_path("--workdir", "~/run") == Path("/somewhere/run")
    assert files.local_path("--workdir", "a:b/~") == Path("a:b/~")
    with pytest.raises(ConfigError, match="nobody_of_this_name"):
        files.local_path("--workdir", "~nobody_of_this_name/run")


def test_a_link_to_a_folder_leads_there(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    assert files.local_path("--workdir", tmp_path / "link") == tmp_path.resolve() / "folder"
    (tmp_path / "nowhere").symlink_to("missing")
    assert files.local_path("--workdir", tmp_path / "nowhere") == tmp_path / "nowhere"


def test_an_output_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 252)  # its draft's name is too long
    path.write_bytes(SECRET)
    with pytest.raises(RunError, match="could not be written: File name too long"):
        outputs.write_output(path, b"new")
    assert path.read_bytes() == SECRET
    assert list(tmp_path.iterdir()) == [path]


def test_an_output_is_no_file_of_a_run_and_no_other_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workdir = tmp_path / "run"
    (workdir / "checkpoints" / "20").mkdir(parents=True)
    (workdir / "config.json").write_bytes(SECRET)
    (tmp_path / "link").symlink_to(workdir / "checkpoints")
    (tmp_path / "linked_run").symlink_to(workdir)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(workdir)
    inside = ("run/config.json", "run/new", "run/checkpoints/20/new", "link/new", "run/missing/new")
    for name in inside:
        for of_run in (workdir, tmp_path / "linked_run", Path(), Path("~/run")):
            with pytest.raises(
                ConfigError, match=f"--json=.*{name} is in the run {of_run}, where only"
            ):
                outputs.check_outputs({"--out": None, "--json": tmp_path / name}, of_run)
    with pytest.raises(ConfigError, match="--json=new is in the run"):
        outputs.check_outputs({"--json": Path("new")}, workdir)
    one, same, other = tmp_path / "file", workdir / ".." / "file", tmp_path / "run.png"
    outputs.check_outputs({"--out": one, "--json": other}, workdir)
    with pytest.raises(ConfigError, match=r"--json=.*/\.\./file is the file of --out too; name"):
        outputs.check_outputs({"--out": one, "--json": same}, workdir)
    assert (workdir / "config.json").read_bytes() == SECRET


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
def test_an_output_replaces_whatever_has_the_name_of_its_draft(
    tmp_path: Path, outside: Path, plant: Callable[[Path, Path], object]
) -> None:
    plant(tmp_path / ".file.tmp", outside)
    outputs.write_output(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert not os.path.lexists(tmp_path / ".file.tmp")
    assert outside.read_bytes() == SECRET
