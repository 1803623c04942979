"""The fault campaign in a short form, on a network of seconds (`make torture` is the long one)."""

import pytest

from tests.processes_test import CONFIG
from tests.tiny import environment, takes_long
from tests.torture import Campaign

# One worker: they share the straight run.
pytestmark = takes_long


@pytest.fixture(scope="module")
def campaign(tmp_path_factory, data_dir, optdigits, project):
    folder = tmp_path_factory.mktemp("torture")
    (folder / "config.py").write_text(CONFIG)
    data = f"--config.data.data_dir={data_dir}"
    return Campaign(
        [f"--config={folder / 'config.py'}", data], folder, environment(folder, project)
    )


@pytest.mark.parametrize(
    "fault",
    [
        lambda campaign: campaign.damages(32),
        lambda campaign: campaign.nothing_good(),
        lambda campaign: campaign.carried_on(),
        pytest.param(lambda campaign: campaign.disk_full(), marks=takes_long),
        lambda campaign: campaign.two_writers(),
        pytest.param(lambda campaign: campaign.not_a_number(101), marks=takes_long),
        lambda campaign: campaign.kills_and_terms(2, 1, within=(4, 0.2)),
    ],
    ids=["damage", "nothing good", "carried on", "disk full", "two writers", "NaN", "signals"],
)
def test_a_fault_is_survived(campaign, fault):
    campaign.failed = False
    fault(campaign)
    assert not campaign.failed
