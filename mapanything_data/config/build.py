"""From a composed configuration to typed objects."""

from __future__ import annotations

from typing import Any

from mapanything_data.config.explain import unknown_key


def build(config: Any) -> Any:
    """Build the dataclasses of a composed OmegaConf configuration.

    Raises:
        ConfigError: A key that no schema knows was added with `+`, or a component refuses its values.
        OmegaConfBaseException: A value is missing or an interpolation cannot be resolved (see `explain`).
    """
    from omegaconf import OmegaConf

    _refuse_added_keys(config, "")
    return OmegaConf.to_object(config)


def _refuse_added_keys(node: Any, path: str) -> None:
    from omegaconf import DictConfig, OmegaConf

    if not isinstance(node, DictConfig) or node._is_none() or node._is_missing():
        return
    schema = OmegaConf.get_type(node)
    known = getattr(schema, "__dataclass_fields__", None)
    for key in node:
        full_key = f"{path}{key}"
        if known is not None and key not in known:
            raise unknown_key(full_key, schema)
        _refuse_added_keys(node._get_node(key), f"{full_key}.")
