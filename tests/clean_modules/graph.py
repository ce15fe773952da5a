"""Directed graphs as dictionaries of neighbours."""

import heapq
from collections import deque


class CycleError(ValueError):
    """The graph has a cycle where none is allowed."""


def add_edge(graph, start, end, weight=1):
    graph.setdefault(start, {})[end] = weight
    graph.setdefault(end, {})
    return graph


def reachable(graph, start):
    seen = {start}
    queue = deque([start])
    while queue:
        node = queue.popleft()
        for neighbour in graph.get(node, {}):
            if neighbour not in seen:
                seen.add(neighbour)
                queue.append(neighbour)
    return seen


def shortest(graph, start, goal):
    best = {start: 0}
    heap = [(0, start)]
    while heap:
        cost, node = heapq.heappop(heap)
        if node == goal:
            return cost
        if cost > best[node]:
            continue
        for neighbour, weight in graph.get(node, {}).items():
            candidate = cost + weight
            if neighbour not in best or candidate < best[neighbour]:
                best[neighbour] = candidate
                heapq.heappush(heap, (candidate, neighbour))
    return None


def in_order(graph):
    waiting = dict.fromkeys(graph, 0)
    for node in graph:
        for neighbour in graph[node]:
            waiting[neighbour] = waiting.get(neighbour, 0) + 1
    ready = sorted(node for node, count in waiting.items() if count == 0)
    order = []
    while ready:
        node = ready.pop(0)
        order.append(node)
        for neighbour in graph.get(node, {}):
            waiting[neighbour] -= 1
            if waiting[neighbour] == 0:
                ready.append(neighbour)
    if len(order) != len(waiting):
        raise CycleError("the graph has a cycle")
    return order


def depth(graph, node, seen=None):
    seen = set() if seen is None else seen
    if node in seen:
        return 0
    seen.add(node)
    below = [depth(graph, neighbour, seen) for neighbour in graph.get(node, {})]
    return 1 + max(below, default=0)


def average_degree(graph):
    nodes = len(graph)
    if nodes == 0:
        return 0.0
    edges = sum(len(neighbours) for neighbours in graph.values())
    return edges / nodes


def merge(left, right):
    result = {node: dict(neighbours) for node, neighbours in left.items()}
    for node, neighbours in right.items():
        result.setdefault(node, {}).update(neighbours)
    return result
