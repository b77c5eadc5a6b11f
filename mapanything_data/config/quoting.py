"""Lets file names be typed on the command line as they are.

Hydra's override grammar takes only some ASCII characters outside of quotes, so `source.path=/rides/Zürich (1).mp4`
would be refused. Such values are quoted here; lists, dicts, interpolations, calls such as `range(1,4)` and quoted text
stay as they were typed.
"""

from __future__ import annotations

import re

_OVERRIDE = re.compile(r"(?P<key>[+~]{0,2}[A-Za-z_][\w./@\-]*=)(?P<value>.+)", re.DOTALL)
_STRUCTURED = re.compile(r"""\s*(['"\[{]|[A-Za-z_]\w*\()""")
_TAKEN_UNQUOTED = re.compile(r"[A-Za-z0-9_/\-\\+.$%*@?|: ]*")


def quote_override(argument: str) -> str:
    """The argument with values that need it in quotes; commas still separate the values of a sweep."""
    override = _OVERRIDE.fullmatch(argument)
    if not override or _STRUCTURED.match(override["value"]) or "${" in override["value"]:
        return argument
    return override["key"] + ",".join(_quote(value) for value in override["value"].split(","))


def _quote(value: str) -> str:
    if _TAKEN_UNQUOTED.fullmatch(value):
        return value
    # Within quotes, backslashes escape only where they stand before a quote or at the end.
    escaped = re.sub(r'(\\*)("|$)', lambda found: 2 * found[1] + ("\\" + found[2] if found[2] else ""), value)
    return f'"{escaped}"'
