"""The reference of all settings, made of the settings class."""

from enum import StrEnum
from types import NoneType
from typing import Any, get_args

from annotated_types import Ge, Gt, Le
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from economy.settings import PREFIX, Settings

INTRODUCTION = """\
# Settings

Every setting is an environment variable; nothing else configures the service. It reads them once,
at its start. What is wrong is told in one line, and ends it: a value that cannot be, a variable
beginning with `ECONOMY_` that there is not, and in production whatever is unsafe. An empty value
of an URL means that there is none. This page is made of
[`economy/settings.py`](../economy/settings.py) by `economy export-settings`.

| variable | value | default | meaning |
|---|---|---|---|
"""


def settings_reference() -> str:
    """A page of Markdown."""
    return INTRODUCTION + "".join(
        f"| `{PREFIX}{name.upper()}` | {_value(field)} | {_default(field)} "
        f"| {(field.description or '').replace('|', 'or')} |\n"
        for name, field in Settings.model_fields.items()
    )


def _value(field: FieldInfo) -> str:
    [type_] = [
        one for one in get_args(field.annotation) or (field.annotation,) if one is not NoneType
    ]
    if isinstance(type_, type) and issubclass(type_, StrEnum):
        return ", ".join(f"`{member.value}`" for member in type_)
    bounds = [_bound(one) for one in field.metadata]
    name = {bool: "`true`, `false`", int: "whole number", float: "number"}.get(type_, "text")
    return ", ".join([name, *(bound for bound in bounds if bound)])


def _bound(constraint: Any) -> str | None:
    match constraint:
        case Ge(ge=least):
            return f"at least {least}"
        case Gt(gt=least):
            return f"above {least}"
        case Le(le=most):
            return f"at most {most}"
    return None


def _default(field: FieldInfo) -> str:
    match field.default:
        case None | "":
            return "none"
        case SecretStr():
            return "for development only"
        case StrEnum() as member:
            return f"`{member.value}`"
        case bool() as truth:
            return f"`{str(truth).lower()}`"
    return f"`{field.default}`"
