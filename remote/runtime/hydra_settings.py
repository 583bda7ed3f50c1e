"""Changing Hydra's own settings once they are composed."""

from __future__ import annotations

from typing import Any, Dict


def change(config: Any, settings: Dict[str, Any]) -> None:
    """Give settings, by their dotted names, other values.

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
    said = [str(each).lstrip("+~") for each in config.hydra.overrides.hydra]
    return any(each.startswith(starts) for each in said)


def several(config: Any, count: int) -> None:
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
