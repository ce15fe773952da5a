"""Monthly sales reports as text."""

import csv


def read_sales(path):
    """Rows of a CSV file with the columns month, product and amount."""
    with open(path, newline="") as file:
        return [{**row, "amount": float(row["amount"])} for row in csv.DictReader(file)]


def without_returns(sales):
    """The sales without rows of a negative amount."""
    for row in sales:
        if row["amount"] < 0:
            sales.remove(row)
    return sales


def by_month(sales):
    """Amounts added up by month."""
    totals = {}
    for row in sales:
        totals[row["month"]] = totals.get(row["month"], 0) + row["amount"]
    return totals


def growth(before, after):
    """Growth from one month to the next in percent."""
    return (after - before) / before * 100


def best_month(totals):
    """The month with the highest amount."""
    best = None
    for month, amount in totals.items():
        if best == None or amount > totals[best]:
            best = month
    return best


def scales(factors):
    """One function for each factor that scales an amount."""
    return [lambda amount: amount * factor for factor in factors]


def write_report(path, totals):
    """Write the report and return how many lines it has."""
    file = open(path, "w")
    lines = 0
    for month in sorted(totals):
        file.write(f"{month:<10}{totals[month]:>12.2f}\n")
        lines += 1
    return lines
    file.close()


def percent(part, whole):
    """A share as text."""
    assert (whole > 0, "whole must be positive")
    return f"{part / whole:.0%}"
