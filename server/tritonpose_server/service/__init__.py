"""PaddleX's service contract: REST service, web page, and what the HPS model shares with them."""

from importlib.util import find_spec

from tritonpose.extras import install_command


def require_extra(extra: str, *modules: str) -> None:
    """Check that an extra's packages are there, importing none; else ModuleNotFoundError."""
    for module in modules:
        if find_spec(module) is None:
            raise ModuleNotFoundError(
                f"{module} is not installed: {install_command(extra)}", name=module
            )
