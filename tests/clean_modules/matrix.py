"""Matrices as lists of rows."""

from __future__ import annotations

Matrix = list[list[float]]


def zeros(rows: int, columns: int) -> Matrix:
    return [[0.0] * columns for _ in range(rows)]


def identity(size: int) -> Matrix:
    result = zeros(size, size)
    for index in range(size):
        result[index][index] = 1.0
    return result


def transpose(matrix: Matrix) -> Matrix:
    if not matrix:
        return []
    result = zeros(len(matrix[0]), len(matrix))
    for i in range(len(matrix)):
        for j in range(len(matrix[i])):
            result[j][i] = matrix[i][j]
    return result


def multiply(left: Matrix, right: Matrix) -> Matrix:
    if not left or not right or len(left[0]) != len(right):
        raise ValueError("the shapes do not fit")
    result = zeros(len(left), len(right[0]))
    for i in range(len(left)):
        for j in range(len(right[0])):
            total = 0.0
            for k in range(len(right)):
                total += left[i][k] * right[k][j]
            result[i][j] = total
    return result


def trace(matrix: Matrix) -> float:
    total = 0.0
    for index in range(len(matrix)):
        total += matrix[index][index]
    return total


def is_symmetric(matrix: Matrix) -> bool:
    for i in range(len(matrix)):
        for j in range(i):
            if matrix[i][j] != matrix[j][i]:
                return False
    return True


def row_sums(matrix: Matrix) -> list[float]:
    sums = []
    for row in matrix:
        sums.append(sum(row))
    return sums


def differences(values: list[float]) -> list[float]:
    result = []
    for index in range(len(values) - 1):
        result.append(values[index + 1] - values[index])
    return result


def find(matrix: Matrix, wanted: float) -> tuple[int, int] | None:
    for i, row in enumerate(matrix):
        for j, value in enumerate(row):
            if value == wanted:
                return i, j
    return None
