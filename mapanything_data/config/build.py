"""From a composed configuration to typed objects."""

from __future__ import annotations

from typing import Any

from mapanything_data.config.explain import dead_interpolation, unknown_key


def build(config: Any) -> Any:
    """Build the dataclasses of a composed OmegaConf configuration.

    The `machine` group becomes a plain mapping of the values that are set: a machine may leave open what a run has no
    use for, and components take its values through `${machine...}`.

    Raises:
        ConfigError: A key that no schema knows was added with `+`, an interpolation leads nowhere, or a component
            refuses its values.
        OmegaConfBaseException: A value is missing (see `explain`).
    """
    from omegaconf import OmegaConf

    _check_keys(config, "")
    OmegaConf.resolve(config)
    if "machine" in config:
        config.machine = {key: value for key, value in config.machine.items_ex(resolve=False) if value != "???"}
    return OmegaConf.to_object(config)


def _check_keys(node: Any, path: str) -> None:
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import InterpolationResolutionError

    if not isinstance(node, DictConfig) or node._is_none() or node._is_missing():
        return
    schema = OmegaConf.get_type(node)
    known = getattr(schema, "__dataclass_fields__", None)
    for key, value in node.items_ex(resolve=False):
        full_key = f"{path}{key}"  # type: ignore[str-bytes-safe]
        if known is not None and key not in known:
            raise unknown_key(full_key, schema)
        if isinstance(value, str) and "${" in value:
            try:
                node[key]
            except InterpolationResolutionError as error:
                raise dead_interpolation(full_key, value, error) from error
        _check_keys(value, f"{full_key}.")
