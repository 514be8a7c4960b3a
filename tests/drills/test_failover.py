"""What a drill computes, and what it says where it cannot run; the drill itself is `make drill-failover`."""

import pytest

from tests.chaos.journal import Attempt, Entry, Operation
from tests.chaos.nemesis import Fault
from tests.drills import cluster
from tests.drills.failover import without_writes


def write(got: float, *, status: int | None = 201, replayed: bool = False, method: str = "POST") -> Entry:
    operation = Operation(f"buyer-{got}", "checkout", method, "/orders", {}, "buyer")
    return Entry(operation, [Attempt(sent=got - 0.1, got=got, status=status, replayed=replayed)])


@pytest.mark.parametrize(
    ("entries", "seconds"),
    [
        ([write(9), write(11), write(14), write(15), write(19)], 4),
        ([write(9), write(19)], 9),
        ([write(9), write(25)], 10),
        ([write(12), write(14, status=503), write(15, replayed=True), write(16, method="GET"), write(19)], 7),
        ([], 10),
    ],
)
def test_the_longest_time_between_two_faults_in_which_nothing_was_written(entries, seconds):
    fault = Fault("kill_primary", began=10, ended=13, what="")

    assert without_writes(entries, fault, until=20) == seconds


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("etcd", "etcd is missing: `apt install etcd-server`."),
        ("postgresql", "Debian's PostgreSQL is missing: `apt install postgresql`."),
        ("patroni", "Patroni is missing: `make drill-failover` installs it into .venv-drills."),
    ],
)
def test_a_program_that_is_not_there_is_named_with_what_to_install(monkeypatch, tmp_path, name, says):
    for program in ("etcd", "postgresql/15/bin/postgres", "patroni"):
        if not program.startswith(name):
            (tmp_path / program).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / program).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(cluster, "DEBIANS_POSTGRESQL", tmp_path / "postgresql")
    monkeypatch.setattr(cluster, "PATRONI", tmp_path / "patroni")

    with pytest.raises(cluster.Missing, match=f"^{says}$"):
        cluster.programs()
