"""Accounts, transfers and interest."""

from __future__ import annotations

import random
from dataclasses import dataclass
from decimal import Decimal


class BankError(Exception):
    """Base of all errors here."""


class InsufficientFunds(BankError):
    """There is not enough money in the account."""


class UnknownAccount(BankError):
    """No account has this number."""


@dataclass
class Account:
    number: str
    owner: str
    balance: Decimal = Decimal("0")

    def deposit(self, amount: Decimal) -> Decimal:
        if amount <= 0:
            raise ValueError("a deposit must be positive")
        self.balance += amount
        return self.balance

    def withdraw(self, amount: Decimal) -> Decimal:
        if amount > self.balance:
            raise InsufficientFunds(f"{self.number} holds only {self.balance}")
        self.balance -= amount
        return self.balance


class Bank:
    def __init__(self, name: str) -> None:
        self.name = name
        self.accounts: dict[str, Account] = {}
        self.log: list[str] = []

    def open_account(self, owner: str) -> Account:
        number = f"{len(self.accounts) + 1:06d}"
        account = Account(number, owner)
        self.accounts[number] = account
        self.log.append(f"opened {number}")
        return account

    def account(self, number: str) -> Account:
        try:
            return self.accounts[number]
        except KeyError:
            raise UnknownAccount(number) from None

    def transfer(self, source: str, target: str, amount: Decimal) -> None:
        giver = self.account(source)
        taker = self.account(target)
        giver.withdraw(amount)
        taker.deposit(amount)
        self.log.append(f"moved {amount} from {source} to {target}")

    def transfer_back(self, source: str, target: str, amount: Decimal) -> None:
        self.transfer(target, source, amount)

    def total(self) -> Decimal:
        return sum((account.balance for account in self.accounts.values()), Decimal("0"))

    def richest(self) -> Account | None:
        if not self.accounts:
            return None
        return max(self.accounts.values(), key=lambda account: account.balance)

    def pay_interest(self, rate: Decimal) -> None:
        for account in self.accounts.values():
            if account.balance > 0:
                account.deposit(account.balance * rate)

    def draw_winner(self, seed: int) -> str | None:
        numbers = sorted(self.accounts)
        if not numbers:
            return None
        return random.Random(seed).choice(numbers)


def monthly_payment(amount: float, rate: float, months: int) -> float:
    if months <= 0:
        raise ValueError("months must be positive")
    if rate == 0:
        return amount / months
    factor = (1 + rate) ** months
    return amount * rate * factor / (factor - 1)
