"""Users in a SQLite database."""

import hashlib
import os
import secrets
import sqlite3

SCHEMA = """
CREATE TABLE IF NOT EXISTS users (
    id INTEGER PRIMARY KEY,
    name TEXT UNIQUE NOT NULL,
    salt TEXT NOT NULL,
    digest TEXT NOT NULL
)
"""
ROUNDS = 200_000


def connect(path):
    connection = sqlite3.connect(path)
    connection.execute(SCHEMA)
    return connection


def digest_of(password, salt):
    raw = hashlib.pbkdf2_hmac("sha256", password.encode(), bytes.fromhex(salt), ROUNDS)
    return raw.hex()


def add_user(connection, name, password):
    salt = secrets.token_hex(16)
    with connection:
        connection.execute(
            "INSERT INTO users (name, salt, digest) VALUES (?, ?, ?)",
            (name, salt, digest_of(password, salt)),
        )


def find_user(connection, name):
    cursor = connection.execute("SELECT id, name FROM users WHERE name = ?", (name,))
    row = cursor.fetchone()
    if row is None:
        return None
    return {"id": row[0], "name": row[1]}


def check_password(connection, name, password):
    row = connection.execute("SELECT salt, digest FROM users WHERE name = ?", (name,)).fetchone()
    if row is None:
        return False
    salt, digest = row
    return secrets.compare_digest(digest, digest_of(password, salt))


def remove_user(connection, name):
    with connection:
        done = connection.execute("DELETE FROM users WHERE name = ?", (name,))
    return done.rowcount > 0


def user_names(connection, limit=100):
    rows = connection.execute("SELECT name FROM users ORDER BY name LIMIT ?", (limit,))
    return [name for (name,) in rows]


def database_path():
    return os.environ.get("USERS_DB", "users.db")


def import_names(connection, path):
    added = 0
    with open(path, encoding="utf-8") as file:
        for line in file:
            name = line.strip()
            if name and find_user(connection, name) is None:
                add_user(connection, name, secrets.token_urlsafe(12))
                added += 1
    return added
