"""Refusals: what the server answers when a request is wrong, in the shape and with the status of the real API."""

from __future__ import annotations

from typing import Any


class RefusalError(Exception):
    """A request that gets an HTTP error: status, a message for people, and the fields clients look at."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        type: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.type = type

    def body(self) -> dict[str, Any]:
        """The JSON body."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


def bad(message: str, param: str | None = None, code: str | None = None) -> RefusalError:
    """A 400."""
    return RefusalError(400, message, param=param, code=code)


def wrong_type(param: str, expected: str, value: object) -> RefusalError:
    """A 400 for a value of the wrong JSON type."""
    return bad(
        f"Invalid type for '{param}': expected {expected}, but got {json_type(value)} instead.", param, "invalid_type"
    )


def wrong_value(param: str, value: object, allowed: tuple[str, ...]) -> RefusalError:
    """A 400 for a value that is none of those allowed."""
    choices = ", ".join(f"'{choice}'" for choice in allowed)
    return bad(f"Invalid value: {value!r}. Supported values are: {choices}.", param, "invalid_value")


def missing(param: str) -> RefusalError:
    """A 400 for a required parameter that is not there."""
    return bad(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")


def unknown_parameter(param: str) -> RefusalError:
    """A 400 for a parameter that does not exist."""
    return bad(f"Unknown parameter: '{param}'.", param, "unknown_parameter")


def empty_array(param: str) -> RefusalError:
    """A 400 for an array that must hold something."""
    told = "empty array. Expected an array with minimum length 1, but got an empty array instead"
    return bad(f"Invalid '{param}': {told}.", param, "empty_array")


def no_such_model(name: object) -> RefusalError:
    """A 404, but for the Responses API, which has a 400 of its own."""
    told = f"The model `{name}` does not exist or you do not have access to it."
    return RefusalError(404, told, code="model_not_found")


def json_type(value: object) -> str:
    """The JSON type of a value, with its article."""
    if value is None:
        return "null"
    names = (
        (bool, "a boolean"),
        (int, "an integer"),
        (float, "a decimal"),
        (str, "a string"),
        (list, "an array"),
        (dict, "an object"),
    )
    return next((name for kind, name in names if isinstance(value, kind)), "something else")
