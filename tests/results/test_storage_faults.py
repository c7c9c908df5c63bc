import os
import random
import subprocess

import pytest
from results_samples import NOBODY, closed_ledger, experiment, files, in_child, result, spec, sql

from dither.results import Ledger, LedgerDiskError, LedgerError


@pytest.fixture
def small_disk(open_folder):
    """A file system of 1 MiB."""
    command = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "tmpfs", str(open_folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield open_folder
    subprocess.run(["umount", str(open_folder)], check=True)


def fill(path):
    with open(path, "wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(b"x" * 4096)
        except OSError:
            return


def big(seed):
    rng = random.Random(seed)
    return result(spec(seed), predictions={"validation": [rng.random() for _ in range(4000)]})


def add_all(ledger, seeds):
    for seed in seeds:
        ledger.add(big(seed))


def test_add_on_a_full_disk_fails_clearly_and_the_ledger_goes_on(small_disk):
    with Ledger.create_or_resume(small_disk, experiment()) as ledger:
        ledger.add(big(0))
        fill(small_disk / "ballast")
        for _ in range(2):
            with pytest.raises(LedgerDiskError, match=r"cannot be written: .*full.*before is safe"):
                ledger.add(big(1))
        assert list(ledger.results(predictions=True)) == [big(0)]
        (small_disk / "ballast").unlink()
        ledger.add(big(1))
    assert list(Ledger.read(small_disk).results(predictions=True)) == [big(0), big(1)]
    assert files(small_disk) == ["ledger.sqlite"]


def test_close_on_a_full_disk_keeps_everything(small_disk):
    ledger = Ledger.create_or_resume(small_disk, experiment())
    for seed in range(4):
        ledger.add(big(seed))
    fill(small_disk / "ballast")
    with pytest.warns(UserWarning, match="keeps its log"):
        ledger.close()
    assert [run.spec.seed for run in Ledger.read(small_disk).results()] == [0, 1, 2, 3]
    (small_disk / "ballast").unlink()
    Ledger.resume(small_disk).close()
    assert [run.spec.seed for run in Ledger.read(small_disk).results()] == [0, 1, 2, 3]
    assert files(small_disk) == ["ledger.sqlite"]


def test_creation_on_a_full_disk_leaves_nothing(small_disk):
    fill(small_disk / "ballast")
    with pytest.raises(LedgerDiskError, match=r"space|full"):
        Ledger.create_or_resume(small_disk, experiment())
    assert files(small_disk) == ["ballast"]
    (small_disk / "ballast").unlink()
    Ledger.create_or_resume(small_disk, experiment()).close()


def test_read_only_mount_is_readable_and_refuses_a_writer(small_disk):
    Ledger.create_or_resume(small_disk, experiment()).close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert len(Ledger.read(small_disk)) == 0
    with pytest.raises(LedgerError, match=r"cannot be written \(Read-only file system\).*another --out"):
        Ledger.create_or_resume(small_disk, experiment())


def test_a_file_size_limit_is_survived_like_a_full_disk(open_folder):
    """The same without a mount, so for every user."""
    import resource

    def work():
        with Ledger.create_or_resume(open_folder, experiment()) as ledger:
            ledger.add(big(0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, resource.RLIM_INFINITY))
            with pytest.raises(LedgerDiskError, match="cannot be written: the disk failed or is full"):
                add_all(ledger, range(1, 9))
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            done = len(ledger)
            ledger.add(big(8))
        return str(done)

    done = int(in_child(work))
    runs = list(Ledger.read(open_folder).results(predictions=True))
    assert runs == [big(seed) for seed in [*range(done), 8]]


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_read_only_folder_is_readable_for_everybody(open_folder, mode):
    path = closed_ledger(open_folder)
    if mode == "wal":  # as after an interrupted close
        sql(path, "PRAGMA journal_mode = WAL")
    path.chmod(0o444)
    open_folder.chmod(0o555)

    def work():
        ledger = Ledger.read(open_folder)
        return str([run.score for run in ledger.results(predictions=True)])

    assert in_child(work, user=NOBODY) == str([80.0, 80.0 + 1 / 7])
    assert files(open_folder) == ["ledger.sqlite"]


def test_writer_in_a_read_only_folder_is_refused(open_folder):
    path = closed_ledger(open_folder)
    before = path.read_bytes()
    open_folder.chmod(0o555)
    message = in_child(lambda: str(Ledger.create_or_resume(open_folder, experiment())), user=NOBODY)
    assert message.startswith(
        f"LedgerError: {open_folder} cannot be written (Permission denied). Choose another"
    )
    message = in_child(lambda: str(Ledger.create_or_resume(open_folder / "new", experiment())), user=NOBODY)
    assert message.startswith(f"LedgerError: The folder {open_folder}/new cannot be made (Permission denied)")
    assert path.read_bytes() == before


def test_writer_of_a_read_only_file_is_refused(open_folder):
    path = closed_ledger(open_folder)
    path.chmod(0o444)
    open_folder.chmod(0o777)
    message = in_child(lambda: str(Ledger.create_or_resume(open_folder, experiment())), user=NOBODY)
    assert "ledger.sqlite cannot be opened for writing (attempt to write a readonly database)" in message
    assert files(open_folder) == ["ledger.sqlite"]


def test_unreadable_file_is_named(open_folder):
    closed_ledger(open_folder).chmod(0o000)
    message = in_child(lambda: str(Ledger.read(open_folder)), user=NOBODY)
    assert "ledger.sqlite cannot be read (Permission denied). Check the permissions" in message
    open_folder.chmod(0o000)
    message = in_child(lambda: str(Ledger.read(open_folder)), user=NOBODY)
    assert "ledger.sqlite cannot be read (Permission denied). Check the permissions" in message


@pytest.mark.parametrize("folder", ["missing", "plain", "file"])
def test_folder_without_a_ledger_is_named(tmp_path, folder):
    (tmp_path / "plain").mkdir()
    (tmp_path / "file").touch()
    for open_ledger in (Ledger.read, Ledger.resume):
        with pytest.raises(
            LedgerError, match=f"There is no ledger in {tmp_path / folder} .* that --out named"
        ):
            open_ledger(tmp_path / folder)
    assert files(tmp_path / "plain") == []


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(LedgerError, match=f"folder {tmp_path / 'file'} cannot be made .* another --out"):
        Ledger.create_or_resume(tmp_path / "file", experiment())


def test_odd_folder_names_are_no_obstacle(tmp_path):
    for name in ("a b", "50%", "what?mode=memory", "x#y", "é", "a%20b", "\udcff"):
        closed_ledger(tmp_path / name)
        assert len(Ledger.read(tmp_path / name)) == 2
    assert sum(len(files(tmp_path / name)) for name in os.listdir(tmp_path)) == 7
