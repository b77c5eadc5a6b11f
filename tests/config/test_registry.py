"""Every option says what it is, and every YAML belongs to a component."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

import pytest
import yaml

from mapanything_data.config import CONFIG_DIR, component
from mapanything_data.config.registry import field_docs, import_components
from mapanything_data.stages.capture import CaptureConfig
from mapanything_data.stages.check import CheckConfig
from mapanything_data.stages.label import LabelConfig
from mapanything_data.stages.report import ReportConfig
from train.settings.finetune import FinetuneConfig
from train.stages.evaluate import EvaluateConfig

COMPONENTS = import_components()
SCHEMAS = [*COMPONENTS.values(), CaptureConfig, CheckConfig, LabelConfig, ReportConfig, EvaluateConfig, FinetuneConfig]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.__name__)
def test_every_option_has_a_docstring_that_is_a_sentence(schema):
    undocumented = [name for name, doc in field_docs(schema).items() if not doc.endswith(".")]

    assert undocumented == []
    assert inspect.getdoc(schema)


@pytest.mark.parametrize(("group", "name"), sorted(COMPONENTS))
def test_every_component_has_a_yaml_that_starts_from_its_schema(group, name):
    defaults = yaml.safe_load((CONFIG_DIR / group / f"{name}.yaml").read_text())["defaults"]

    assert defaults[0] == f"/schema/{group}/{name}@_here_"


def test_a_component_must_be_a_dataclass():
    with pytest.raises(TypeError, match="must be a dataclass"):
        component("source", "plain")(type("Plain", (), {}))


def test_a_name_is_given_once():
    @dataclass
    class Impostor:
        """Wants the name of another."""

    with pytest.raises(TypeError, match=r"is already .*InlineExecutor"):
        component("executor", "inline")(Impostor)
