"""A dict whose values may be made when they are first read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from typing_extensions import Self


class LazyDict(dict[str, Any]):
    """A dict in which a `functools.partial` stands for a value until that is first read.

    Every way to read a dict's values makes them, but for comparing, copying and pickling. Reading
    raises what making raises.
    """

    def __getitem__(self, key: str) -> Any:
        value = super().__getitem__(key)
        if isinstance(value, partial):
            value = self[key] = value()
        return value

    # Those of dict don't use __getitem__.
    get = MutableMapping.get  # type: ignore[assignment]
    setdefault = MutableMapping.setdefault
    items = MutableMapping.items  # type: ignore[assignment]
    values = MutableMapping.values  # type: ignore[assignment]
    pop = MutableMapping.pop

    def popitem(self) -> tuple[str, Any]:
        """Remove the last item and return it."""
        key = next(reversed(self))
        return key, self.pop(key)

    def __iter__(self) -> Iterator[str]:
        # Overridden so that dict(self) and {**self} use __getitem__, too.
        return super().__iter__()

    def __repr__(self) -> str:
        return repr(dict(self))

    def __or__(self, other: Any) -> Any:
        return dict(self) | other

    def __ror__(self, other: Any) -> Any:
        return other | dict(self)

    def held(self, key: str) -> Any:
        """Return a value as it is held: perhaps the `functools.partial` that makes it."""
        return super().get(key)

    def copy(self) -> Self:
        """Make a shallow copy."""
        return _rebuild(type(self), dict(super().items()), self.__dict__)

    __copy__ = copy

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        return _rebuild, (type(self), dict(super().items()), self.__dict__)


_Kind = TypeVar("_Kind", bound=LazyDict)


def _rebuild(kind: type[_Kind], content: Mapping[str, Any], attributes: Mapping[str, Any]) -> _Kind:
    """Make a dict from its parts, without its constructor."""
    rebuilt = kind.__new__(kind)
    rebuilt.update(content)
    rebuilt.__dict__.update(attributes)
    return rebuilt
