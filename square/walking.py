"""Walking distances over the paths of a square."""

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

from square.geometry import Frame, LonLat

_NODE_DECIMALS = 7
"""Vertices that agree to 1e-7 degrees (1 cm) are one node."""

_CELL_M = 20.0
"""Width of the cells in which vertices are looked up [m]: a plan of many bins must not be read in square time."""
_RINGS = 8
"""A point with nothing in so many rings of cells around it is compared with all vertices."""
_SURELY = 1 - 1e-9
"""Leaves room for rounding."""


class WalkingGraph:
    """The paths of a plan as a graph, with shortest walking distances.

    Two lines are joined where they share a vertex, and only there: lines that merely cross on the drawing (a
    footbridge) are not. A point beside the paths walks straight to its nearest vertex first.

    Parameters
    ----------
    lines
        Paths, each a sequence of longitude, latitude [degrees].
    frame
        Local frame of the square.
    """

    def __init__(self, lines: Iterable[Sequence[LonLat]], frame: Frame) -> None:
        self._frame = frame
        index: dict[LonLat, int] = {}
        edges: dict[tuple[int, int], float] = {}
        for line in lines:
            ids = [index.setdefault(_snap(p), len(index)) for p in line]
            for a, b in pairwise(ids):
                if a != b:
                    edges[min(a, b), max(a, b)] = 0.0
        self.nodes: tuple[LonLat, ...] = tuple(index)
        """Vertices in order of first appearance, longitude and latitude [degrees]."""
        self.edges: tuple[tuple[int, int, float], ...] = tuple(
            (a, b, frame.distance_m(self.nodes[a], self.nodes[b])) for a, b in edges
        )
        """Node, node, length [m]."""
        self._from_node: dict[int, dict[int, float]] = {}

    @cached_property
    def _graph(self) -> Any:
        # Here, because the gateway loads a site without ever walking in it.
        import networkx as nx

        graph = nx.Graph()
        graph.add_nodes_from(range(len(self.nodes)))
        graph.add_weighted_edges_from(self.edges)
        return graph

    def components(self) -> tuple[frozenset[int], ...]:
        """Parts of the graph that hang together, the largest first."""
        import networkx as nx

        return tuple(sorted((frozenset(part) for part in nx.connected_components(self._graph)), key=len, reverse=True))

    def nearest(self, lon: float, lat: float) -> tuple[int, float]:
        """Nearest vertex of a point and the straight distance to it [m].

        Raises
        ------
        ValueError
            If the plan has no path at all.
        """
        if not self.nodes:
            raise ValueError("the plan has no paths")
        per_lon_m, per_lat_m = self._frame.m_per_deg_lon, self._frame.m_per_deg_lat

        def best(numbers: Iterable[int]) -> tuple[float, int]:
            return min(
                (math.hypot((lon - self.nodes[n][0]) * per_lon_m, (lat - self.nodes[n][1]) * per_lat_m), n)
                for n in numbers
            )

        column, row = self._cell(lon, lat)
        found: list[tuple[float, int]] = []
        for ring in range(_RINGS):
            near = [n for cell in _around(column, row, ring) for n in self._grid.get(cell, ())]
            found += [best(near)] if near else []
            # whatever lies in a ring not looked at is farther away than the rings before it are wide
            if found and min(found)[0] < ring * _CELL_M * _SURELY:
                break
        else:
            found = [best(range(len(self.nodes)))]
        distance_m, node = min(found)
        return node, distance_m

    @cached_property
    def _grid(self) -> dict[tuple[int, int], list[int]]:
        grid: dict[tuple[int, int], list[int]] = {}
        for number, node in enumerate(self.nodes):
            grid.setdefault(self._cell(*node), []).append(number)
        return grid

    def _cell(self, lon: float, lat: float) -> tuple[int, int]:
        east_m, north_m = self._frame.to_m(lon, lat)
        return math.floor(east_m / _CELL_M), math.floor(north_m / _CELL_M)

    def distance_m(self, a: LonLat, b: LonLat) -> float:
        """Length of the shortest walk between two points [m]; infinite when no path joins them."""
        if a == b:
            return 0.0
        (node_a, leg_a_m), (node_b, leg_b_m) = self.nearest(*a), self.nearest(*b)
        # The legs first: a sum in this order is the same from either end.
        return (leg_a_m + leg_b_m) + self._between_m(node_a, node_b)

    def matrix_m(self, points: Sequence[LonLat]) -> list[list[float]]:
        """Lengths of the shortest walks between all points.

        Returns
        -------
        list[list[float]]
            (n_points, n_points), metres, row = from, symmetric, zero diagonal; infinite where no path joins two.
        """
        ends = [self.nearest(*p) for p in points]
        return [
            [
                0.0 if points[i] == points[j] else (leg_i_m + leg_j_m) + self._between_m(node_i, node_j)
                for j, (node_j, leg_j_m) in enumerate(ends)
            ]
            for i, (node_i, leg_i_m) in enumerate(ends)
        ]

    def route(self, a: LonLat, b: LonLat) -> list[LonLat] | None:
        """Positions of the shortest walk from a to b, both included; None when no path joins them."""
        import networkx as nx

        try:
            nodes = nx.dijkstra_path(self._graph, self.nearest(*a)[0], self.nearest(*b)[0])
        except nx.NetworkXNoPath:
            return None
        line = [a, *(self.nodes[n] for n in nodes), b]
        return [p for i, p in enumerate(line) if i == 0 or p != line[i - 1]]

    def _between_m(self, a: int, b: int) -> float:
        # Always from the lower node, so that both directions give the same last bit.
        low, high = min(a, b), max(a, b)
        if low not in self._from_node:
            import networkx as nx

            self._from_node[low] = dict(nx.single_source_dijkstra_path_length(self._graph, low))
        return self._from_node[low].get(high, math.inf)


def _around(column: int, row: int, ring: int) -> Iterator[tuple[int, int]]:
    """Yield the cells that are so many cells away from one."""
    for x in range(column - ring, column + ring + 1):
        if abs(x - column) == ring:
            yield from ((x, y) for y in range(row - ring, row + ring + 1))
        else:
            yield from ((x, row - ring), (x, row + ring))


def _snap(point: LonLat) -> LonLat:
    return round(point[0], _NODE_DECIMALS), round(point[1], _NODE_DECIMALS)
