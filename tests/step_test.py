import subprocess
import sys

import numpy as np
import pytest

from crnn_jax.runs import step


@pytest.fixture
def written(tmp_path):
    state = {"params": {"kernel": np.float32([[1.5, -0.0]])}, "step": np.int32(7)}
    step.write(tmp_path / "7", state, {"of": ["steps", 7]}, 0.5)
    return tmp_path / "7", state


def test_state_and_metadata_come_back(written):
    folder, state = written
    assert step.read_metadata(folder) == (0.5, {"of": ["steps", 7]})
    found = step.read_state(folder, None)
    assert found["params"]["kernel"].tobytes() == state["params"]["kernel"].tobytes()
    assert found["step"].dtype == np.int32
    assert found["step"] == 7


def test_a_part_alone(written):
    folder, state = written
    found = step.read_state(folder, "params")
    assert list(found) == ["params"]
    assert found["params"]["kernel"].tobytes() == state["params"]["kernel"].tobytes()
    with pytest.raises(ValueError, match="it holds no opt_state"):
        step.read_state(folder, "opt_state")


def test_orbax_is_not_imported_at_the_start_of_a_run():
    asked = "import sys, crnn_jax.train.run; sys.exit('orbax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0
