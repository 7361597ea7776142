"""The README names every setting and every metric."""

import re
from pathlib import Path

from headrace_edge import metrics
from headrace_edge.settings import Settings
from prometheus_client.metrics import MetricWrapperBase

README = (Path(__file__).parents[3] / "services/edge/README.md").read_text()


def test_the_readme_names_every_setting() -> None:
    named = set(re.findall(r"`([A-Z_]+)`", README))
    assert {name.upper() for name in Settings.model_fields} - named == set()


def test_the_readme_names_every_metric() -> None:
    own = {one._name for one in vars(metrics).values() if isinstance(one, MetricWrapperBase)}
    named = {name.removesuffix("_total") for name in re.findall(r"`(headrace_edge_[a-z_]+)", README)}
    assert own == named
