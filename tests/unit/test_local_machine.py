"""What hosts need to know of this machine's Open MPI."""

from __future__ import annotations

import sys
from pathlib import Path

from hvdsm.backends.local.machine import of_python


def test_open_mpi_of_a_python_package_is_told_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    mpirun = str(tmp_path / "bin" / "mpirun")
    assert of_python(mpirun) == {}
    (tmp_path / "pyvenv.cfg").touch()
    assert of_python(mpirun) == {"OPAL_PREFIX": str(tmp_path)}
    assert of_python(f"{sys.prefix}/bin/mpirun") == {"OPAL_PREFIX": sys.prefix}
    assert of_python("/usr/bin/mpirun") == {}
