"""The lock that keeps a second daemon off a SQLite ledger."""

import subprocess
import sys
from pathlib import Path

import pytest

from monitor.ledger import LedgerInUse, LedgerUnavailable
from monitor.ledger.file_lock import FileLock


def test_a_file_has_one_holder_at_a_time(tmp_path: Path) -> None:
    """The second is told who has it, by any name of the file; when the first lets go it is free."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    (tmp_path / "again.db").symlink_to(tmp_path / "ledger.db")
    with FileLock(url):
        for name in ("ledger.db", "again.db"):
            with pytest.raises(LedgerInUse, match=r"another daemon \(process \d+ on \S+, since \d{4}-"):
                FileLock(f"sqlite:///{tmp_path / name}")
        FileLock(f"sqlite:///{tmp_path / 'other.db'}").release()
    FileLock(url).release()


def test_a_child_process_does_not_keep_the_lock(tmp_path: Path) -> None:
    """A child that outlives the daemon, such as a candidate, does not keep the next daemon out."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    lock = FileLock(url)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        lock.release()
        FileLock(url).release()
        child.communicate(b"\n")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "postgresql://host/name"])
def test_other_databases_need_no_lock(url: str) -> None:
    """As many as like hold it."""
    with FileLock(url), FileLock(url):
        pass


def test_a_folder_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    """It may be a volume that is mounted late."""
    with pytest.raises(LedgerUnavailable, match="No such file or directory"):
        FileLock(f"sqlite:///{tmp_path}/missing/ledger.db")


def test_a_note_that_cannot_be_read_is_no_obstacle(tmp_path: Path) -> None:
    """Whatever stands in the lock's file, the lock is what counts."""
    (tmp_path / "ledger.db.lock").write_text("garbage")
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    with FileLock(url):
        (tmp_path / "ledger.db.lock").write_text("[]")
        with pytest.raises(LedgerInUse, match="in use by another daemon: "):
            FileLock(url)
