"""What Hydra was told, as parameters of an MLflow run."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Dict, List

#: What MLflow does not take in a name (mlflow.utils.validation).
_STRANGE = re.compile(r"[^\w.\- :/]")


@dataclass
class Parameters:
    """`scalars` are worth what user code would log for them; `others` may be logged otherwise."""

    scalars: Dict[str, str] = field(default_factory=dict)
    others: Dict[str, str] = field(default_factory=dict)


def listed(config: Any) -> List[str]:
    """The overrides of one run that are the application's, not Hydra's own."""
    return [str(each) for each in config.hydra.overrides.task]


def parameters(config: Any) -> Parameters:
    """The overrides of a run by what they change, with the values they have in its config."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    found = Parameters()
    choices = config.hydra.runtime.choices
    for override in OverridesParser.create().parse_overrides(listed(config)):
        if override.is_delete():
            continue
        key = override.get_key_element().lstrip("+")
        name = _STRANGE.sub("_", key)
        if key in choices:
            found.others[name] = str(choices[key])
            continue
        value = OmegaConf.select(config, override.key_or_group)
        if OmegaConf.is_config(value):
            found.others[name] = str(OmegaConf.to_container(value))
        else:
            found.scalars[name] = str(value)
    return found
