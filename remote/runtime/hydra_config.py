"""The config of a Hydra run: what was overridden, and Hydra's own settings changed in it."""

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
    return [str(override) for override in config.hydra.overrides.task]


def parameters(config: Any) -> Parameters:
    """The overrides of a run by what they change, with the values they have in its config."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    result = Parameters()
    choices = config.hydra.runtime.choices
    for override in OverridesParser.create().parse_overrides(listed(config)):
        if override.is_delete():
            continue
        key = override.get_key_element().lstrip("+")
        name = _STRANGE.sub("_", key)
        if key in choices:
            result.others[name] = str(choices[key])
            continue
        value = OmegaConf.select(config, override.key_or_group)
        if OmegaConf.is_config(value):
            result.others[name] = str(OmegaConf.to_container(value))
        else:
            result.scalars[name] = str(value)
    return result


def change(config: Any, settings: Dict[str, Any]) -> None:
    """Change settings, named by their dotted names.

    They become overrides too: Hydra composes the config of each trial anew and refuses a trial
    whose launcher or sweeper then differs.
    """
    from omegaconf import OmegaConf, flag_override

    with flag_override(config.hydra, ["readonly", "struct"], False):
        for key, value in settings.items():
            OmegaConf.update(config, key, value, merge=False)
            config.hydra.overrides.hydra.append(f"{key}={value}")


def typed(config: Any, *starts: str) -> bool:
    """Whether the command line has an override that begins with one of `starts`."""
    overrides = [str(override).lstrip("+~") for override in config.hydra.overrides.hydra]
    return any(override.startswith(starts) for override in overrides)


def run_several(config: Any, count: int) -> None:
    """Run `count` trials at once, by joblib, unless the user or the application chose otherwise."""
    from omegaconf import flag_override

    choices = config.hydra.runtime.choices
    basic = choices.get("hydra/launcher") == "basic"
    if not basic or typed(config, "hydra/launcher", "hydra.launcher") or not _has_joblib():
        return
    from hydra.core.config_store import ConfigStore

    with flag_override(config.hydra, ["readonly", "struct"], False):
        config.hydra.launcher = ConfigStore.instance().load("hydra/launcher/joblib.yaml").node
        choices["hydra/launcher"] = "joblib"
        config.hydra.overrides.hydra.append("hydra/launcher=joblib")
    change(config, {"hydra.launcher.n_jobs": count})
    if "n_jobs" in config.hydra.sweeper and not typed(config, "hydra.sweeper.n_jobs"):
        change(config, {"hydra.sweeper.n_jobs": max(count, config.hydra.sweeper.n_jobs)})


def _has_joblib() -> bool:
    from importlib.util import find_spec

    return find_spec("hydra_plugins.hydra_joblib_launcher") is not None
