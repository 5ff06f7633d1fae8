"""PaddleX's service contract: REST service, web page, and what the HPS model shares with them."""

from importlib.util import find_spec


def require_extra(extra: str, *modules: str) -> None:
    """Check that the packages of an extra are installed, without importing them.

    Raises:
        ModuleNotFoundError: One is not; the message names the extra.
    """
    for module in modules:
        if find_spec(module) is None:
            raise ModuleNotFoundError(
                f"{module} is not installed: run `pip install 'tritonpose[{extra}]'`", name=module
            )
