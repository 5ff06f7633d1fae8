"""The parts that a rewritten graph is made of, and the order of the channels in each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx

Channels = npt.NDArray[np.int64]

# In place of a rank, for channels that are not read.
_NEVER = 1 << 30


@dataclass(eq=False)
class Order:
    """An order of channels that several parts share, as channelwise operations tie them.

    ``root`` dictates it: a `Join`, whose pieces are in the order of their sources, or a part in the
    order of the original graph. Without a root it can be chosen. ``position`` is where each channel
    lies, once that is done.
    """

    size: int
    parts: list[Part] = field(default_factory=list)
    root: Part | None = None
    position: Channels | None = None


@dataclass(eq=False)
class Part:
    """A tensor ``[N, size, ...]``; ``labels`` are its channels by their numbers in its order."""

    size: int
    order: Order = field(init=False)
    labels: Channels = field(init=False)

    def __post_init__(self) -> None:
        """Give it an order of its own."""
        self.order = Order(self.size, [self])
        self.labels = np.arange(self.size)

    @property
    def positions(self) -> Channels:
        """Return where each channel lies, once orders are chosen."""
        if self.order.position is None:
            raise RuntimeError("no order is chosen yet")
        return self.order.position[self.labels]

    @property
    def channels(self) -> Channels:
        """Return which channel lies at each position, once orders are chosen."""
        return np.argsort(self.positions)


View = Sequence[tuple[Part, int]]
"""A tensor of the original graph: each channel is one of a part."""


@dataclass(eq=False)
class Natural(Part):
    """A tensor that the original graph has, too: an input, or a result of what is kept."""

    tensor: str

    def __post_init__(self) -> None:
        """Fix its order."""
        super().__post_init__()
        self.order.root = self


@dataclass(eq=False)
class Pin(Part):
    """Channels of a part in the order of the original graph, for what is kept."""

    source: Part
    chosen: Channels

    def __post_init__(self) -> None:
        """Fix its order."""
        super().__post_init__()
        self.order.root = self


@dataclass(eq=False)
class Dense(Part):
    """The result of a convolution that reads all channels of a tensor."""

    node: onnx.NodeProto
    view: View


@dataclass(eq=False)
class Channelwise(Part):
    """The result of an operation in which no channel knows of another.

    ``operands`` are its inputs that are parts, by their index, each with its channel for each
    channel of the result.
    """

    node: onnx.NodeProto
    operands: dict[int, tuple[Part, Channels]]


@dataclass(eq=False)
class Join(Part):
    """Channels brought together from parts: piece by piece, or ``gathered`` one by one."""

    view: View
    gathered: bool = False

    def __post_init__(self) -> None:
        """Let the sources dictate the order, unless it is gathered."""
        super().__post_init__()
        if not self.gathered:
            self.order.root = self


@dataclass(frozen=True)
class Piece:
    """Channels of a part that lie side by side from ``start``; ``own`` are their reader's."""

    part: Part
    start: int
    own: list[int]

    @property
    def stop(self) -> int:
        """Return the position after the last one."""
        return self.start + len(self.own)


def sources(view: View) -> list[Part]:
    """Return the parts of a tensor, each once."""
    return list(dict.fromkeys(part for part, _ in view))


def pieces(view: View) -> list[Piece]:
    """Return the pieces that a tensor is made of, part by part; orders must be chosen."""
    found: list[Piece] = []
    for part in sources(view):
        position = part.positions
        places = sorted(
            (int(position[channel]), own)
            for own, (source, channel) in enumerate(view)
            if source is part
        )
        runs: list[Piece] = []
        for place, own in places:
            if runs and place == runs[-1].stop:
                runs[-1].own.append(own)
            else:
                runs.append(Piece(part, place, [own]))
        found += runs
    return found


def tie(first: Part, chosen: Channels, second: Part, others: Channels) -> bool:
    """Let channel ``chosen[i]`` of a part lie where ``others[i]`` of another one does.

    Returns whether that can be; if not, nothing changes.
    """
    kept, merged = first.order, second.order
    mine, theirs = first.labels[chosen], second.labels[others]
    if kept is merged:
        return bool(np.array_equal(mine, theirs))
    if (kept.root and merged.root) or _follows(kept, merged) or _follows(merged, kept):
        return False
    renamed = np.empty(merged.size, np.int64)
    renamed[theirs] = mine
    for part in merged.parts:
        part.order = kept
        part.labels = renamed[part.labels]
    kept.parts += merged.parts
    kept.root = kept.root or merged.root
    return True


def choose_orders(parts: Sequence[Part]) -> None:
    """Choose all orders, so that channels that are read together lie together."""
    joins = [part for part in parts if isinstance(part, Join) and not part.gathered]
    orders = _sorted(list(dict.fromkeys(part.order for part in parts)))
    keys = _keys(parts, orders)
    # Every second piece of a join is turned round: two pieces face each other with the channels
    # that are handed on longest, which then are one piece for the next join.
    turned: dict[Order, bool] = {}
    for join in joins:
        for index, source in enumerate(sources(join.view)):
            turned.setdefault(source.order, index % 2 == 1)
    for order in orders:
        if isinstance(order.root, Join):
            own = [channel for piece in pieces(order.root.view) for channel in piece.own]
            laid = order.root.labels[own]
        elif order.root is not None:
            laid = order.root.labels
        else:
            labels = sorted(range(order.size), key=keys[order].__getitem__)
            laid = np.array(labels[::-1] if turned.get(order) else labels, np.int64)
        order.position = np.argsort(laid)


def _follows(order: Order, other: Order) -> bool:
    """Whether an order is made of another one, directly or through others."""
    pending, seen = [order], {order}
    while pending:
        for followed in _followed(pending.pop()):
            if followed is other:
                return True
            if followed not in seen:
                seen.add(followed)
                pending.append(followed)
    return False


def _followed(order: Order) -> Iterator[Order]:
    if isinstance(order.root, Join):
        yield from (source.order for source in sources(order.root.view))


def _sorted(orders: Sequence[Order]) -> list[Order]:
    """Sort orders: each comes after what it is made of."""
    done: dict[Order, None] = {}

    def visit(order: Order) -> None:
        if order not in done:
            for followed in _followed(order):
                visit(followed)
            done[order] = None

    for order in orders:
        visit(order)
    return list(done)


def _keys(parts: Sequence[Part], orders: Sequence[Order]) -> dict[Order, list[tuple[int, ...]]]:
    """Return what to sort the channels of each order by: who reads them, and for how long.

    What joins hand on comes first, in the order that is best for what they make of it.
    """
    readers: dict[Order, list[tuple[Part, list[tuple[int, int]]]]] = {order: [] for order in orders}
    for kind in (Join, Dense):
        for reader in parts:
            if isinstance(reader, kind):
                read: dict[Order, list[tuple[int, int]]] = {}
                for own, (part, channel) in enumerate(reader.view):
                    read.setdefault(part.order, []).append((int(part.labels[channel]), own))
                for order, channels in read.items():
                    readers[order].append((reader, channels))
    keys: dict[Order, list[tuple[int, ...]]] = {}
    ranks: dict[Order, list[int]] = {}
    for order in reversed(orders):
        columns: list[list[int]] = []
        for reader, channels in readers[order]:
            column = [_NEVER] * order.size
            for label, own in channels:
                handed_on = isinstance(reader, Join) and reader.order in ranks
                column[label] = ranks[reader.order][reader.labels[own]] if handed_on else 0
            columns.append(column)
        keys[order] = [tuple(column[label] for column in columns) for label in range(order.size)]
        ranking = {key: rank for rank, key in enumerate(sorted(set(keys[order])))}
        ranks[order] = [ranking[key] for key in keys[order]]
    return keys
