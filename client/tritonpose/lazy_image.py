"""A dict whose image is decoded when somebody first asks for it, as few callers ever do."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from tritonpose.inputs import decode_image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

IMAGE_KEY = "input_img"
"""The key of the image."""


@dataclass(frozen=True)
class EncodedImage:
    """Stands for an image until somebody asks for it.

    Attributes:
        data: The content of an image file.
    """

    data: bytes


class LazyImageDict(dict[str, Any]):
    """A dict that replaces an `EncodedImage` under `IMAGE_KEY` by the decoded one.

    Every way to read a dict's values does so, but for copying and pickling. Reading raises
    InputError if the image can't be decoded.
    """

    def __getitem__(self, key: str) -> Any:
        if key == IMAGE_KEY:
            self._decode()
        return super().__getitem__(key)

    def __iter__(self) -> Iterator[str]:
        # Overridden so that dict(result) and {**result} read items by the methods of this
        # class, not from the memory of the dict.
        return super().__iter__()

    def get(self, key: str, default: Any = None) -> Any:
        """As `dict.get`."""
        if key == IMAGE_KEY:
            self._decode()
        return super().get(key, default)

    def setdefault(self, key: str, default: Any = None) -> Any:
        """As `dict.setdefault`."""
        self._decode()
        return super().setdefault(key, default)

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        """As `dict.items`."""
        self._decode()
        return super().items()

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        """As `dict.values`."""
        self._decode()
        return super().values()

    def pop(self, key: str, *default: Any) -> Any:
        """As `dict.pop`."""
        self._decode()
        return super().pop(key, *default)

    def popitem(self) -> tuple[str, Any]:
        """As `dict.popitem`."""
        self._decode()
        return super().popitem()

    def without_image(self) -> dict[str, Any]:
        """A plain dict of all the rest."""
        return {key: value for key, value in super().items() if key != IMAGE_KEY}

    def held_image(self) -> EncodedImage | NDArray[np.uint8] | None:
        """The image as it is held, without decoding it."""
        image: EncodedImage | NDArray[np.uint8] | None = super().get(IMAGE_KEY)
        return image

    def copy(self) -> Self:
        """A shallow copy."""
        return _rebuild(type(self), dict(super().items()), self.__dict__)

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        return _rebuild, (type(self), dict(super().items()), self.__dict__)

    def __or__(self, other: Any) -> Any:
        return dict(self) | other

    def __ror__(self, other: Any) -> Any:
        return other | dict(self)

    def _decode(self) -> None:
        image = super().get(IMAGE_KEY)
        if isinstance(image, EncodedImage):
            name = super().get("input_path") or "the image"
            self[IMAGE_KEY] = decode_image(image.data, name)[0]


_Kind = TypeVar("_Kind", bound=LazyImageDict)


def _rebuild(kind: type[_Kind], content: Mapping[str, Any], attributes: Mapping[str, Any]) -> _Kind:
    """Makes a result from its parts, without its constructor."""
    rebuilt = kind.__new__(kind)
    rebuilt.update(content)
    rebuilt.__dict__.update(attributes)
    return rebuilt
