"""The table of a run's settings."""

from __future__ import annotations

from typing import Any

from minideconv.training.config import TrainConfig
from minideconv.visualize.html import Html, HtmlTemplate, attributes, joined

__all__ = ["setting_text", "settings_table"]


def settings_table(config: dict[str, Any]) -> Html:
    """Lay out all settings by their groups; those that are not the default are bold."""
    groups: dict[str, list[Html]] = {}
    for name, setting in TrainConfig.settings(config["model"]).items():
        value = config.get(name, setting.default)
        kind = attributes({"class": "changed" if value != setting.default else ""})
        row = {"kind": kind, "name": name.replace("_", " "), "value": setting_text(value)}
        groups.setdefault(setting.group, []).append(_ROW.fill(row))
    return joined(
        _TABLE.fill({"group": group, "rows": joined(rows)}) for group, rows in groups.items()
    )


def setting_text(value: Any) -> str:
    """Return the value of a setting as people read it.

    >>> setting_text(None), setting_text(True), setting_text(0.25)
    ('–', 'true', '0.25')
    """
    return "–" if value is None else str(value).lower() if value in (True, False) else str(value)


_ROW = HtmlTemplate("<tr$kind><td>$name</td><td>$value</td></tr>")
_TABLE = HtmlTemplate('<table><tr><th colspan="2">$group</th></tr>$rows</table>')
