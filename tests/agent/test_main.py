"""The agent's verbs: each is handled by a function of the agent, and by nothing above it."""

from __future__ import annotations

import importlib.util

import pytest

from remote.agent.main import VERBS


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_handled_by_a_function_below_the_agent(verb: str) -> None:
    """The names are strings, which no linter follows: what they lead to lies in remote.agent."""
    name, function = VERBS[verb][:2]
    spec = importlib.util.find_spec(f"remote.agent.{name}")
    assert spec is not None and spec.name.startswith("remote.agent."), name
    module = importlib.import_module(spec.name)
    handler = getattr(module, function)
    assert callable(handler) and handler.__module__ == module.__name__
