"""Events: handlers by name, and jobs that run later."""

import heapq
import itertools
import sys
import time


class Dispatcher:
    """Calls the handlers of an event in the order in which they were added."""

    def __init__(self):
        self.handlers = {}

    def on(self, name, handler):
        self.handlers.setdefault(name, []).append(handler)
        return handler

    def off(self, name, handler):
        known = self.handlers.get(name, [])
        if handler in known:
            known.remove(handler)

    def emit(self, name, *args):
        results = []
        for handler in list(self.handlers.get(name, [])):
            try:
                results.append(handler(*args))
            except Exception as error:
                print(f"{name}: {error}", file=sys.stderr)
        return results


class Schedule:
    def __init__(self, clock=time.monotonic):
        self.clock = clock
        self.jobs = []
        self.numbers = itertools.count()

    def later(self, seconds, job, *args):
        heapq.heappush(self.jobs, (self.clock() + seconds, next(self.numbers), job, args))

    def due(self):
        return bool(self.jobs) and self.jobs[0][0] <= self.clock()

    def run_due(self):
        done = 0
        while self.due():
            _, _, job, args = heapq.heappop(self.jobs)
            job(*args)
            done += 1
        return done

    def run_until_empty(self, sleep=time.sleep):
        while self.jobs:
            wait = self.jobs[0][0] - self.clock()
            if wait > 0:
                sleep(wait)
            self.run_due()


def adders(numbers):
    return [lambda value, number=number: value + number for number in numbers]


def countdown(start):
    while start > 0:
        yield start
        start -= 1


def chunks(items, size):
    if size < 1:
        raise ValueError("size must be at least 1")
    for start in range(0, len(items), size):
        yield items[start : start + size]


def pairs(items):
    return [(items[index], items[index + 1]) for index in range(len(items) - 1)]
