"""Show pictures in windows while a command runs, where there is a screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2

if TYPE_CHECKING:
    from collections.abc import Hashable

    import numpy as np
    from numpy.typing import NDArray

_MAX_SIDE = 960


class Preview:
    """A window for each source, by tkinter, which most Pythons bring.

    Raises:
        RuntimeError: There is no screen, or this Python has no tkinter; says which.
    """

    def __init__(self) -> None:
        try:
            import tkinter

            from PIL import ImageTk
        except ImportError as error:
            raise RuntimeError(f"this Python has no tkinter ({error})") from error
        self._closed: type[Exception] = tkinter.TclError
        self._tk: Any = tkinter
        self._images: Any = ImageTk
        try:
            self._root: Any = tkinter.Tk()
        except tkinter.TclError as error:
            raise RuntimeError(f"there is no screen ({error})") from error
        self._root.withdraw()
        self._labels: dict[Hashable, Any] = {}

    def show(self, source: Hashable, title: str, image: NDArray[np.uint8]) -> None:
        """Show a picture, (H, W, 3) BGR, in its source's window, unless that was closed."""
        from PIL import Image

        try:
            if source not in self._labels:
                self._labels[source] = self._open(source, title)
            label = self._labels[source]
            if label is not None:
                height, width = image.shape[:2]
                scale = min(1, _MAX_SIDE / max(height, width))
                size = max(1, round(width * scale)), max(1, round(height * scale))
                small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
                picture = Image.fromarray(cv2.cvtColor(small, cv2.COLOR_BGR2RGB))
                # Kept by the label: Tk holds no reference of its own.
                label.picture = self._images.PhotoImage(picture, master=self._root)
                label.configure(image=label.picture)
            self._root.update()
        except self._closed:
            self._labels[source] = None

    def _open(self, source: Hashable, title: str) -> Any:
        window = self._tk.Toplevel(self._root)
        window.title(title)
        window.protocol("WM_DELETE_WINDOW", lambda: self._forget(source, window))
        label = self._tk.Label(window, borderwidth=0)
        label.pack()
        return label

    def _forget(self, source: Hashable, window: Any) -> None:
        self._labels[source] = None
        window.destroy()
