"""A share of the traces, as configurations write it."""

from typing import Annotated, Final

from pydantic import BeforeValidator, Field

_NAMED: Final = {"always": 1.0, "never": 0.0}


def _number(value: object) -> object:
    return _NAMED.get(value, value) if isinstance(value, str) else value


Rate = Annotated[float, BeforeValidator(_number, json_schema_input_type=float | str), Field(ge=0.0, le=1.0)]
"""A settings field that takes 0 to 1, `always` or `never`, and holds the number."""
