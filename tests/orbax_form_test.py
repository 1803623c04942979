import subprocess
import sys

import numpy as np
import pytest

from crnn_jax.runs import orbax_io

NOTES = {"score": 0.5, "notes": {"of": ["steps", 7]}}


@pytest.fixture
def written(tmp_path):
    state = {"params": {"kernel": np.float32([[1.5, -0.0]])}, "step": np.int32(7)}
    orbax_io.write(tmp_path / "7", state, NOTES)
    return tmp_path / "7", state


def test_state_and_notes_come_back(written):
    folder, state = written
    found, notes = orbax_io.read(folder)
    assert notes == NOTES
    assert found["params"]["kernel"].tobytes() == state["params"]["kernel"].tobytes()
    assert found["step"].dtype == np.int32
    assert found["step"] == 7


def test_notes_alone(written):
    assert orbax_io.read_notes(written[0]) == NOTES


def test_orbax_is_not_imported_at_the_start_of_a_run():
    asked = "import sys, crnn_jax.run; sys.exit('orbax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0
