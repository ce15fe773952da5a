"""Redaction: what must go, what must stay, and that every line stays JSON."""

from __future__ import annotations

import json
import stat
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from instrument import log, redact, secret_shapes, traced
from instrument.errors import SettingsError
from instrument.installation import installation_key
from instrument.model import Event, Failure, Log, Score, Span
from instrument.record.texts import shown_bytes
from instrument.redact import Redactor
from instrument.testing import record
from tests.programs import begun

SECRET = "zQ7xK2mP9vLw4RtY"
MIXED = "aB3dE5gH7jK9mN1pQ3sT5vW7xY9zA1cE3gI5kM7oQ9sU1wY3"
HEX = "0123456789abcdef0123456789abcdef01234567"


def b64(text: str) -> str:
    return b64encode(text.encode()).decode()


UUID = "01234567-89ab-cdef-0123-456789abcdef"

redactor = Redactor(b"k" * 32)

BOUND_TO_A_NAME = [
    "password={}",
    "password = {}",
    "export API_KEY={}",
    "PASSWORD={} ./run",
    "db_password: {}",
    "api-key: {}",
    "The API key: {}",
    "Api-Key={}",
    "{{'password': '{}'}}",
    '{{"password": "{}"}}',
    '{{\\"password\\": \\"{}\\"}}',
    '{{\\\\\\"api_key\\\\\\": \\\\\\"{}\\\\\\"}}',
    '"password":\n   "{}"',
    '"Token" : "{}"',
    "'password' => '{}'",
    'password = """{}"""',
    "password = b'{}'",
    'password := "{}"',
    "if password == '{}':",
    "password: str = '{}'",
    'def f(api_key: str = "{}"):',
    "config['password'] = '{}'",
    "self.password = '{}'",
    "connect(host='h', password='{}', port=1)",
    "connect(host=h, password={}, port=1)",
    "?api_key={}&x=1",
    "https://x.y/z?token={}",
    "&access_token={}#part",
    "--password {}",
    "--api-key={}",
    "cmd --client-secret '{}'",
    "['prog', '--password', '{}']",
    "Authorization: Bearer {}",
    "authorization: Token {}",
    "Authorization: {}",
    "Proxy-Authorization: Basic {}",
    "Cookie: session={}; theme=dark",
    "Set-Cookie: sid={}; Path=/",
    "X-Api-Key: {}",
    "x-auth-token: {}",
    "Server=x;User Id=sa;Password={};",
    "host=h password={} dbname=d",
    "DefaultEndpointsProtocol=https;AccountName=a;AccountKey={}==;EndpointSuffix=core",
    "secret_key: {}\nnext: 1",
    "  password: {}",
    "- password: {}",
    "client_secret={}",
    'clientSecret: "{}"',
    "refreshToken='{}'",
    "aws_secret_access_key = {}",
    "AWS_SESSION_TOKEN={}",
    "PGPASSWORD={} psql",
    "passphrase: {}",
    "passwd={}",
    "pwd={};",
    "DB_PASS={}",
    "PassWord={}",
    "<password>{}</password>",
    "\\npassword: {}\\n",
    "\\u0026token={}",
    "%26token={}",
    "密码 password={}",
    "パスワード:password={}",
    "OPENAI_API_KEY_PROD={}",
    "password1={}",
    "password_confirmation={}",
    "basic_auth='{}'",
    "jwt={}",
    '{{"db": {{"password": ["{}"]}}}}',
    '{{"credentials": {{"user": "bob", "pin": "{}"}}}}',
    "http://h/?X-Amz-Signature={}",
    "curl -H 'Authorization: Bearer {}' http://x",
    "headers={{'Authorization': 'Bearer {}'}}",
    "Bearer {}",
    "postgres://user:{}@host:5432/db",
    "redis://:{}@localhost",
    "mongodb+srv://u:{}@c.example.net/?x=y",
    "https://user:{}@example.com/x.git",
    "https://{}123456@example.com/x.git",
    '{{"name": "API_KEY", "value": "{}"}}',
    '{{"Key": "DB_PASSWORD",\n  "Value": "{}"}}',
    '<add key="password" value="{}"/>',
    "?next=https%3A%2F%2Fh%2F%3Faccess_token%3D{}%26x%3D1",
    "url=https%3A%2F%2Fbob%3A{}%40host%2Fdb",
    "Authorization%3A%20Bearer%20{}",
    "https://h/?password\\u003d{}",
    "curl -s -u bob:{} https://h/",
    "sshpass -p {} ssh h",
    "mysql -u root -p{} db",
    "machine h login bob password {}",
    "docker login -u bob -p {} registry",
    "<Cookies[<Cookie sid={} for h/>]>",
    "SECRET_KEY_BASE={}",
    "The password is {}.",
    "my API key is `{}`",
    "curl -sSu 'bob:{}' https://h/",
    "curl \\\n  -X POST \\\n  -ubob:{} https://h/",
    "curl -b 'session={}' https://h/",
    "mysql -u root -p'{}' db",
    "redis-cli -h h -a {} ping",
    "ALTER USER bob WITH PASSWORD '{}';",
    "SET PASSWORD FOR 'bob' = PASSWORD('{}');",
    "CREATE USER 'bob'@'%' IDENTIFIED BY '{}';",
    "Invalid password '{}' for bob",
    "--hf_token {}",
    "java -password {} X",
    "setx API_KEY {}",
    "set -gx API_KEY {}",
    "aws configure set aws_secret_access_key {}",
    "git config --global github.token {}",
    "- name: API_KEY\n  value: {}",
    "{{name: API_KEY, value: {}}}",
    "('x-api-key', '{}')",
    "os.environ.setdefault('API_KEY', '{}')",
    "[(b'authorization', b'Bearer {}')]",
    "password=SecretStr('{}')",
    "requests.get(u, auth=('bob', '{}'))",
    "HTTPBasicAuth('bob', '{}')",
    "%22password%22%3A%22{}%22",
    "&quot;password&quot;: &quot;{}&quot;",
    '<wsse:Password Type="x">{}</wsse:Password>',
    "user.password\n  Too short [type=too_short, input_value='{}', input_type=str]\n    see https://errors.pydantic.dev/2/v",
    "PINECONE_KEY={}",
    "FERNET_KEY={}",
    "ansible_become_pass={}",
    "Authorization: Bearer p@ss{}",
]

TOKENS = [
    f"sk-{MIXED}",
    f"sk-proj-{MIXED}",
    f"sk-ant-api03-{MIXED}",
    f"sk-or-v1-{HEX}",
    f"sk-lf-{UUID}",
    f"pk-lf-{UUID}",
    f"ghp_{MIXED[:36]}",
    f"gho_{MIXED[:36]}",
    f"ghs_{MIXED[:36]}",
    f"github_pat_11ABC_{MIXED}",
    f"glpat-{MIXED[:20]}",
    "AKIAIOSFODNN7EXAMPLE",
    "ASIAIOSFODNN7EXAMPLE",
    f"AIza{MIXED[:35]}",
    f"AQ.Ab8RN6{MIXED}{MIXED[:8]}",
    f"csk-{HEX}",
    f"ya29.{MIXED}",
    f"GOCSPX-{MIXED[:28]}",
    f"xoxb-123456789012-123456789012-{MIXED[:24]}",
    f"xapp-1-A0-123-{HEX}",
    f"https://hooks.slack.com/services/T00000000/B00000000/{MIXED[:24]}",
    f"sk_live_{MIXED[:24]}",
    f"rk_live_{MIXED[:24]}",
    f"sk_test_{MIXED[:24]}",
    f"whsec_{MIXED[:32]}",
    f"hf_{MIXED[:34]}",
    f"npm_{MIXED[:36]}",
    f"pypi-AgEIcHlwaS5vcmc{MIXED}",
    f"SG.{MIXED[:22]}.{MIXED[:43]}",
    f"gsk_{MIXED}",
    f"xai-{MIXED}",
    f"r8_{MIXED[:37]}",
    f"lsv2_pt_{HEX[:32]}_{HEX[:10]}",
    f"SK{HEX[:32]}",
    f"dop_v1_{HEX}{HEX[:24]}",
    f"dapi{HEX[:32]}",
    f"123456789:AAF{MIXED[:32]}",
    f"shpat_{HEX[:32]}",
    f"glsa_{MIXED[:32]}_{HEX[:8]}",
    f"hvs.{MIXED}",
    f"figd_{MIXED}",
    f"key-{HEX[:32]}",
    f"https://hooks.slack.com/triggers/T0000/1234/{HEX[:32]}",
    f"sntryu_{HEX}{HEX[:24]}",
    f"sb_secret_{MIXED[:31]}",
    f"sk_{HEX}{HEX[:8]}",
    f"tgp_v1_{MIXED[:43]}",
    f"abC8Q~{MIXED[:34]}",
    f"{MIXED}9aB8JQQJ99{MIXED[:26]}",
    f"LS0tLS1CRUdJTiBSU0Eg{MIXED}{MIXED}==",
    b64(f"sk-proj-{MIXED}"),
    b64(f"sk-ant-api03-{MIXED}"),
    b64(f"sk-or-v1-{MIXED}"),
    b64(f"sk-svcacct-{MIXED}"),
    b64(f"github_pat_{MIXED}"),
    b64(f"ghp_{MIXED}"),
    b64(f"ghs_{MIXED}"),
    b64(f"glpat-{MIXED}"),
    b64('{"auths":{"registry.example":{"auth":"dTpwYXNzd29yZDE="}}}'),
    b64('{"type":"service_account","private_key_id":"0123456789"}'),
    b64('{"type": "service_account", "private_key_id": "0123456789"}'),
    f"-----BEGIN%20PRIVATE%20KEY-----%0A{MIXED}%0A-----END%20PRIVATE%20KEY-----%0A",
    "[b'-----BEGIN RSA PRIVATE KEY-----', b'MIIEvQIBADANBgkqhkiG9w0BAQEFAASC', b'MIIEvQIBADANBgkqhkiG9w0BAQEFAASC']",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nabc/+=\n-----END PRIVATE KEY-----",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC",
]

SURROUNDINGS = [
    "{}",
    "key {} here",
    "({})",
    "'{}'",
    "x={}",
    "a\n{}\nb",
    "\\n{}",
    "日本{}語",
    "url?k={}&b",
    "\x1b[31m{}\x1b[0m",
    "%3D{}",
]

HARMLESS = [
    "author: Bob",
    "session: 42",
    "cookie recipe: 2 eggs",
    "cookie: a small sweet biscuit",
    "cookies: 12 g",
    "monkey = 3",
    "keyboard: us",
    "tokenizer = load()",
    "max_tokens=4096",
    "total_tokens: 12",
    "input_tokens=5",
    "token_count=7",
    "gen_ai.usage.input_tokens: 55",
    "the token is a word",
    "a token: it is sent once",
    "for token in tokens:",
    "tokens = tokenize(text)",
    "token = tokens[0]",
    "token = self.token",
    "token = os.environ['TOKEN']",
    "if token == other:",
    "token, value = pair",
    "token: torch.Tensor",
    "next_token: abc123def456",
    "eos_token='</s>'",
    "unexpected token: 42",
    "password: str",
    "password: Optional[str] = None",
    "password?: string;",
    "password: SecretStr",
    "password -> str",
    "def login(password):",
    "def login(user: str, password: str) -> bool:",
    "password = get_password()",
    "password = input('Password: ')",
    "self.password = password",
    "password_field = forms.CharField()",
    "password reset link",
    "Enter your password:",
    "password: ${DB_PASSWORD}",
    "password: <your password>",
    "token: {{ token }}",
    "api_key=api_key",
    "api_key=settings.api_key,",
    'api_key = os.getenv("OPENAI_API_KEY")',
    'api_key = "your-api-key"',
    "key = sorted(x)",
    "secret = None",
    "secret = True",
    'secret = ""',
    "secret santa: 12 people",
    "import secrets",
    "secrets.token_hex(16)",
    'primary_key="id42"',
    "sort_key='x1'",
    "cache_key = f'{a}:1'",
    "public_key='abc123'",
    "price_key: gpt-4",
    "key: value",
    "PWD=/home/user/x",
    "GOOGLE_APPLICATION_CREDENTIALS=/etc/creds.json",
    "credentials: 'include'",
    "{'token': None}",
    '{"token": true}',
    '"password": null',
    "'token_type': 'bearer'",
    "first_pass = 1",
    "pass: 12, fail: 3",
    "auth: none",
    "http://localhost:8080/path?x=a@b.com",
    "user@example.com:8080",
    "git@github.com:org/repo.git",
    "postgres://{user}:{password}@{host}/db",
    "postgres://user:$PASSWORD@host/db",
    "Bearer token required",
    "bearer authentication is used",
    "Basic understanding of",
    "authorization: required",
    "The authorization header: see docs",
    "class Token(Base):",
    "--token-limit 400",
    "--no-password",
    "print(f'token: {token}')",
    'logger.info("token=%s", token)',
    "risk-assessment-framework-document-2",
    "task-0123456789abcdef",
    "sk-learn-contrib-imbalanced",
    "hf_model_name_is_long_enough_here",
    f"sha256:{HEX}",
    f"commit {HEX}",
    UUID,
    f"chatcmpl-{MIXED[:29]}",
    f"call_{MIXED[:24]}",
    f"resp_{HEX}",
    "-----BEGIN CERTIFICATE-----\nMIID\n-----END CERTIFICATE-----",
    "the password is required",
    "the token is 'cat4'",
    "password value",
    "docker run -u 1000:1000 x",
    "curl -u bob:$PASSWORD https://h/",
    "https://a-user@github.com/x",
    "it looks for -----BEGIN PRIVATE KEY----- and so on",
    "if '-----BEGIN PRIVATE KEY-----' in text or '-----END PRIVATE KEY-----' in text: ...",
    "required: ['username', 'password', 'address2']",
    "getattr(settings, 'api_key', 'gpt-4.1-mini')",
    "add_header('Cookie2', '$Version=\"1\"')",
    "unexpected token 'x1' at 3",
    "the password 'field' is empty",
    "git config user.name 'b0b'",
    "set -e TOKEN",
    "set(token, value: Foo2)",
    "- name: token\n  value: str",
    "curl -o x.json -b cookies.txt https://h:80/",
    "name\n  Too short [type=too_short, input_value='b0b', input_type=str] https://errors.pydantic.dev/2/v",
    "HAS_COOKIE: has_ssl_cookie,",
]

SECRET_NAMES = """
    password Password PASSWORD passwd pwd passphrase secret client_secret clientSecret api_key apikey apiKey
    API-KEY x-api-key access_key secret_key secretAccessKey private_key token access_token refreshToken id_token
    auth_token authorization Proxy-Authorization cookie set-cookie credential credentials session_token
    db_password OPENAI_API_KEY
""".split()

OTHER_NAMES = """
    author session monkey keyboard tokenizer max_tokens total_tokens input_tokens token_count key sort_key
    next_token public_key password_field secret_name api_key_id token_type signature name id
    gen_ai.usage.input_tokens session.id
""".split()


def line_of(value: Any) -> bytes:
    return msgspec.json.encode(
        {"type": "span", "run": "r1", "trace_id": "0" * 32, "kind": "tool", "input": {"a": value}}
    )


def shape(node: Any) -> Any:
    """The containers of a value, its keys counted, scalars left out."""
    if isinstance(node, dict):
        return ["object", *map(shape, node.values())]
    return ["array", *map(shape, node)] if isinstance(node, list) else "scalar"


# What must go


@pytest.mark.parametrize("text", BOUND_TO_A_NAME)
@pytest.mark.parametrize("depth", [0, 1, 2], ids=["plain", "in JSON text", "in JSON text in JSON text"])
def test_value_of_a_secret_name_goes(text: str, depth: int) -> None:
    """What is bound to a secret name is replaced, in text and in JSON text held in a string, however deep."""
    told = text.format(SECRET)
    for _ in range(depth):
        told = json.dumps({"x": told})
    assert SECRET not in redactor.text(told) + redactor.line(line_of(told)).decode()


@pytest.mark.parametrize("token", TOKENS)
def test_token_goes_wherever_it_stands(token: str) -> None:
    """A secret that is known by its shape is replaced in any surroundings."""
    last = token.split("/")[-1][-16:] if "KEY" not in token else token[40:60]
    told = [surrounding.format(token) for surrounding in SURROUNDINGS]
    assert [] == [text for text in told if last in redactor.text(text) or last in redactor.line(line_of(text)).decode()]


SHAPES = [
    *secret_shapes.DISTINCT_TOKENS,
    *secret_shapes.BOUNDED_TOKENS,
    *(before.removesuffix("$") + inner for inner, before in secret_shapes.INNER_TOKENS),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_quick_look_knows_every_shape(shape: str) -> None:
    """What has a shape of the tables goes: the quick look, which stands apart from them, suspects it."""

    @settings(max_examples=10)
    @given(st.from_regex(shape, fullmatch=True, alphabet=st.characters(codec="ascii")))
    def goes(token: str) -> None:
        assert token not in redactor.text(f"it is {token}")

    goes()


@pytest.mark.parametrize("name", SECRET_NAMES)
@pytest.mark.parametrize(
    "value",
    [SECRET, 12345678, 0.5, [SECRET, {"x": SECRET}], {"a": {"b": SECRET}}],
    ids=["text", "int", "float", "list", "dict"],
)
def test_everything_under_a_secret_key_goes(name: str, value: Any) -> None:
    """Below a secret key of an object every string and number is replaced."""
    told = redactor.line(line_of({name: value}))
    assert not any(secret in told for secret in (SECRET.encode(), b"12345678", b"0.5"))


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_secret_names_are_known(name: str) -> None:
    """The usual names of secrets are known in every spelling."""
    assert redactor.secret_name(name)


def test_value_after_a_flag_goes() -> None:
    """In a list the element after `--password` is its value (as in argv)."""
    told = msgspec.json.decode(
        redactor.line(msgspec.json.encode({"argv": ["prog", "--password", "hunter2", "--verbose"]}))
    )
    assert ["prog", "--password", redactor.placeholder("hunter2"), "--verbose"] == told["argv"]


@pytest.mark.parametrize(
    "value",
    [
        [["x-api-key", SECRET], ["accept", "*/*"]],
        [[{"$bytes": 9, "text": "x-api-key"}, {"$bytes": 16, "text": SECRET}]],
        {"auth": ["bob", SECRET]},
        {"name": "DB_PASSWORD", "value": SECRET},
        [{"Key": "api_key", "Value": SECRET}],
        {"name": "API_KEY", "type": "text", "value": SECRET},
        {"value": SECRET, "name": "API_KEY"},
        {"selector": "input[name='password']", "text": SECRET},
        ["-----BEGIN PRIVATE KEY-----", SECRET, SECRET, "-----END PRIVATE KEY-----"],
        ["/usr/bin/curl", "-u", f"bob:{SECRET}", "https://h/"],
        [["mysql", f"-p{SECRET}"]],
        ["java", "-token", SECRET, "X"],
        {"$bytes": 40, "escaped": f"\\xffsk-{SECRET.lower()}"},
    ],
    ids=[
        "pairs",
        "headers as bytes",
        "auth",
        "name and value",
        "key and value",
        "name and value, not side by side",
        "value and name",
        "where to type what",
        "lines of a private key",
        "curl",
        "mysql",
        "a flag with one dash",
        "binary",
    ],
)
def test_secret_that_only_its_neighbour_tells_goes(value: Any) -> None:
    """What is a secret by the element or member beside it goes, in a line that the quick look has to suspect."""
    assert SECRET[-8:].lower() not in redactor.line(line_of(value)).decode().lower()


@given(st.integers(1, 20), st.sampled_from([None, "text", "escaped"]))
def test_secret_in_pieces_goes(size: int, key: str | None) -> None:
    """Of a secret that goes over several texts of a stream nothing is left, and what surrounds it stays."""
    text = f"your key is {TOKENS[1]}, keep it"
    parts: list[Any] = [text[at : at + size] for at in range(0, len(text), size)]
    shown = [msgspec.Raw(msgspec.json.encode({"$bytes": size, key: part})) if key else part for part in parts]
    told = msgspec.json.decode(msgspec.json.encode(redactor.pieces(shown)))
    expected = f"your key is {redactor.placeholder(TOKENS[1])}, keep it"
    assert expected == "".join(one[key] if key else one for one in told)


@pytest.mark.parametrize("shown", [lambda text: {"delta": [{"text": text}]}, lambda text: SimpleNamespace(text=text)])
def test_secret_over_the_same_place_of_several_objects_goes(shown: Callable[[str], Any]) -> None:
    """Objects that a stream gives are looked at as its texts are: what lies at the same place belongs together."""

    @traced
    def stream() -> Iterator[Any]:
        yield from map(shown, ("it is ", TOKENS[1][:9], TOKENS[1][9:20], TOKENS[1][20:]))

    with record() as recording:
        list(stream())
    (told,) = [json.dumps(span.output) for span in recording.spans]
    assert [True, False, False] == [text in told for text in ("[redacted:", TOKENS[1][9:20], TOKENS[1][20:])]


def test_two_tokens_in_pieces_go() -> None:
    """A token that would run into the next one, were they joined, is looked at alone as well."""
    parts = [f"ghp_{MIXED[:36]}", f"ghp_{MIXED[8:44]}", "ghp_", MIXED[4:40]]
    told = "".join(redactor.pieces(parts))
    assert (False, False, False) == (MIXED[:12] in told, MIXED[32:44] in told, MIXED[28:40] in told)


def test_default_of_a_secret_parameter_goes() -> None:
    """A schema says what a parameter is; what it gives as its default is a value."""
    schema = {"properties": {"password": {"type": "string", "description": "yours", "default": SECRET}}}
    told = msgspec.json.decode(redactor.line(line_of(schema)))["input"]["a"]["properties"]["password"]
    assert {"type": "string", "description": "yours", "default": redactor.placeholder(SECRET)} == told


@pytest.mark.parametrize("text", ["password={}", "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----"])
def test_long_secret_goes_whole(text: str) -> None:
    """Of a secret of 20,000 characters no end is left."""
    assert SECRET not in redactor.text(text.format(SECRET * 1_250))


def test_secret_over_several_yields_goes() -> None:
    """What a decorated generator yields bit by bit is looked at as a whole."""

    @traced
    def stream() -> Iterator[str]:
        yield from (TOKENS[1][:9], TOKENS[1][9:20], TOKENS[1][20:])

    with record() as recording:
        list(stream())
    (told,) = [span.output for span in recording.spans]
    assert [12, "", ""] == [len(told[0].removeprefix("[redacted:").removesuffix("]")), *told[1:]]


def test_token_that_is_longer_than_a_block_goes_whole() -> None:
    """What ends beyond the stretch that is looked at is followed to its end."""
    assert SECRET not in redactor.text(f"sent with Bearer {SECRET * 400}")


def test_end_of_a_private_key_goes() -> None:
    """Of a key whose beginning was cut off a few digits are left, and they go."""
    assert MIXED[:20] not in redactor.text(f"…\n{MIXED[:20]}\n-----END PRIVATE KEY-----")


def test_name_behind_an_escaped_line_end_is_known() -> None:
    """In JSON text `\\n` stands before the name, and its letter is none of it."""
    assert rf"first\ntoken={redactor.placeholder(SECRET)}" == redactor.text(rf"first\ntoken={SECRET}")


def test_value_that_ends_with_a_backslash_ends_there() -> None:
    """A quote behind an escaped backslash is no escaped quote: what follows stays."""
    assert redactor.text(r'{"password": "q7x9Z\\", "user": "ann"}').endswith(', "user": "ann"}')


def test_password_that_a_url_encodes_has_the_placeholder_of_the_plain_one() -> None:
    """The same secret is the same twelve digits wherever it stands."""
    assert f"postgres://bob:{redactor.placeholder('pa/ss')}@db" == redactor.text("postgres://bob:pa%2Fss@db")


def test_only_the_password_of_a_url_goes() -> None:
    """Scheme, user and host of a connection string stay readable."""
    assert f"postgres://bob:{redactor.placeholder('pa/ss')}@db:5432/x" == redactor.text(
        "postgres://bob:pa/ss@db:5432/x"
    )


def test_scheme_of_a_header_stays() -> None:
    """`Bearer` says how somebody signed in and stays."""
    assert f"Authorization: Bearer {redactor.placeholder(SECRET)}" == redactor.text(f"Authorization: Bearer {SECRET}")


@pytest.mark.parametrize("offset", [*range(2_000, 2_100, 7), *range(4_000, 4_110, 7), 8_190, 16_380])
def test_secret_across_a_block_goes(offset: int) -> None:
    """Long texts are looked through in blocks; a secret on a border is found as any other."""
    text = f"{'x ' * (offset // 2)}password={SECRET} ghp_{MIXED[:36]} {'y ' * 9_000}"
    found = redactor.text(text)
    assert (SECRET in found, MIXED[:36] in found) == (False, False)


@pytest.mark.parametrize("before", range(6))
def test_name_across_a_block_tells(before: int) -> None:
    """A name of two words tells of its secret where a block begins between them, or within one."""
    text = f"{'x' * (redact.BLOCK - before)} API key: {SECRET} {'y ' * 3_000}"
    assert SECRET not in redactor.text(text)


# What must stay


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_text_stays(text: str) -> None:
    """Words that only look like secrets, code, types and templates stay; the very same object comes back."""
    line = line_of(text)
    assert text is redactor.text(text)
    assert line is redactor.line(line)


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_other_names_are_not_secret(name: str) -> None:
    """Names that merely contain such words are none."""
    assert not redactor.secret_name(name)


@pytest.mark.parametrize(
    "value",
    [
        {"token": "Hello", "logprob": -0.1, "bytes": [72]},
        {"properties": {"password": {"type": "string", "description": "The password"}}, "required": ["password"]},
        {"password": None, "token": True, "secret": ""},
        {"cookie": "chocolate chip"},
        {"name": "password", "text": "Forgot it?"},
    ],
    ids=["log probabilities", "JSON schema", "nothing there", "biscuit", "words on a page"],
)
def test_harmless_objects_stay(value: Any) -> None:
    """Objects that speak about tokens and passwords without holding one stay."""
    line = line_of(value)
    assert line is redactor.line(line)


def test_clean_line_is_the_same_object() -> None:
    """A line without secrets is not copied."""
    line = line_of({"text": "nothing to see", "n": [1, 2.5, None, True]})
    assert line is redactor.line(line)


def test_head_stays() -> None:
    """What stands before `start` is ours and stays, even where a pattern of the user's would match it."""
    own = Redactor(b"k" * 32, patterns=["[0-9a-f]{32}"])
    line = b'{"trace_id":"' + b"0" * 32 + b'","kind":"tool","input":{"id":"' + b"1" * 32 + b'"}}'
    told = msgspec.json.decode(own.line(line, line.index(b'"kind"')))
    assert {"trace_id": "0" * 32, "kind": "tool", "input": {"id": own.placeholder("1" * 32)}} == told


# Placeholders


def test_placeholder_has_twelve_digits() -> None:
    """A placeholder is `[redacted:` and twelve hexadecimal digits."""
    assert redactor.text("password=hunter2") == f"password={redactor.placeholder('hunter2')}"


@pytest.mark.parametrize(
    "text",
    [
        f"Bearer {SECRET}",
        f"?token={SECRET}&",
        f"postgres://u:{SECRET}@h/",
        f'{{"password": "{SECRET}"}}',
        f"password={SECRET}",
        f"Authorization: Basic {SECRET}",
        json.dumps(json.dumps({"secret": SECRET})),
    ],
)
def test_same_secret_has_the_same_placeholder(text: str) -> None:
    """Wherever a secret stands, its placeholder is the same."""
    assert redactor.placeholder(SECRET) in redactor.text(text)


def test_escapes_do_not_change_the_placeholder() -> None:
    """A secret with quotes and backslashes is told by its plain form, however often it was escaped."""
    secret = 'pa"ss\\w0rd'
    once, twice = json.dumps({"password": secret}), json.dumps(json.dumps({"password": secret}))
    assert redactor.placeholder(secret) in redactor.text(once)
    assert redactor.placeholder(secret) in redactor.text(twice)


@given(st.text(min_size=1), st.text(min_size=1))
def test_two_secrets_have_two_placeholders(one: str, other: str) -> None:
    """Placeholders are equal exactly when the secrets are."""
    assert (one == other) == (redactor.placeholder(one) == redactor.placeholder(other))


def test_another_key_gives_other_placeholders() -> None:
    """Without the key nobody can try out candidates."""
    assert Redactor(b"a" * 32).placeholder("hunter2") != Redactor(b"b" * 32).placeholder("hunter2")


# Properties

SHAPED = st.sampled_from([token for token in TOKENS if "\n" not in token and "/" not in token])
ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
NAMED = st.text(ALPHABET, min_size=8, max_size=24).map(lambda text: f"q7{text}9Z")
PROSE = st.text(
    st.characters(codec="utf-8", exclude_characters="0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    max_size=20,
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def planted(draw: st.DrawFn, secret: Any, around: Any = TREES) -> Any:
    """A JSON value with the secret somewhere in it, up to twice written as JSON text on the way."""
    value: Any = secret
    for _ in range(draw(st.integers(0, 4))):
        how = draw(st.sampled_from(["list", "dict", "key", "text"]))
        if how == "text":
            value = json.dumps(value, ensure_ascii=draw(st.booleans()))
        elif how == "list":
            value = [draw(around), value, draw(around)]
        elif how == "key" and isinstance(value, str):
            value = {value: draw(around)}
        else:
            value = {draw(st.sampled_from(["a", "text", "日本", "$x"])): value, "other": draw(around)}
    return value


@given(st.data())
def test_no_planted_token_survives(data: st.DataObject) -> None:
    """Wherever a token stands in whatever line, it goes; the line stays JSON of the same shape; once is enough."""
    token = data.draw(SHAPED)
    value = data.draw(planted(data.draw(PROSE) + token + data.draw(PROSE)))
    line = line_of(value)
    told = redactor.line(line)
    assert token[-12:].encode() not in told
    assert shape(msgspec.json.decode(line)) == shape(msgspec.json.decode(told))
    assert told is redactor.line(told)


@given(st.data())
def test_no_secret_under_a_name_survives(data: st.DataObject) -> None:
    """What a secret name holds goes, in objects, in JSON text, in queries and in assignments."""
    secret, name = data.draw(NAMED), data.draw(st.sampled_from(SECRET_NAMES))
    form = data.draw(st.sampled_from(["object", "json", "query", "assignment", "repr", "flag"]))
    told: Any = {
        "object": {name: secret},
        "json": json.dumps({"x": {name: secret}}),
        "query": f"https://h/p?a=1&{name}={secret}&b=2",
        "assignment": f"{data.draw(PROSE)} {name}={secret} {data.draw(PROSE)}",
        "repr": repr({name: secret}),
        "flag": f"run --{name.replace('_', '-').lower()}={secret}",
    }[form]
    line = line_of(data.draw(planted(told)))
    assert secret.encode() not in redactor.line(line)


@given(st.data())
def test_redacting_keeps_the_shape_and_is_done_once(data: st.DataObject) -> None:
    """Of any line the result is JSON of the same shape, and redacting it again changes nothing."""
    line = line_of({data.draw(st.sampled_from(SECRET_NAMES)): data.draw(TREES), "x": data.draw(TREES)})
    told = redactor.line(line)
    assert shape(msgspec.json.decode(line)) == shape(msgspec.json.decode(told))
    assert told == redactor.line(told)


NAMES = st.sampled_from([*SECRET_NAMES, *OTHER_NAMES])
SIGNS = st.sampled_from(
    ["=", ": ", " = ", '": "', "': '", '="', "='", '=="', "=>", '\\": \\"', ":\n", " ", "=b'", ": str = '", ">"]
)
VALUES = st.sampled_from(
    ["hunter2", SECRET, "abc", "None", "null", "str", "1234", "{", "[", "", "x y", "${X}", "self.t", "f(x)", TOKENS[0]]
)
ODD_VALUES = st.sampled_from(
    [
        "/etc/x.pem",
        "[redacted:0123456789ab]",
        "[redacted:01",
        "Bearer abc123def456",
        "p@ss!w0rd",
        "a=b; c=d",
        '"',
        "\\",
        "\\n",
    ]
)
FILLERS = st.sampled_from(
    ["", "\n", " ", ", ", "}", '"', "'", "&", "?", "\\n", "--", "#", ";", "the ", "日本", "(", ")", "export "]
)


@example([("", "password", "': '", '"""hunter2abc', "'")])
@given(st.lists(st.tuples(FILLERS, NAMES, SIGNS, VALUES | ODD_VALUES, FILLERS), min_size=1, max_size=4))
def test_quick_look_misses_nothing(parts: list[tuple[str, ...]]) -> None:
    """What the careful look would replace, the quick look suspects: beside a sure secret a text fares as alone."""
    text = "".join(map("".join, parts))
    alone = redactor.text(text)
    assert alone + " \n " == redactor.text(f"{text} \n AKIAIOSFODNN7EXAMPLE").removesuffix(
        redactor.placeholder("AKIAIOSFODNN7EXAMPLE")
    )


@given(st.lists(st.tuples(FILLERS, NAMES, SIGNS, VALUES | ODD_VALUES, FILLERS), min_size=1, max_size=4))
def test_text_is_redacted_once(parts: list[tuple[str, ...]]) -> None:
    """Redacting a text again changes nothing, and a line fares as the text in it."""
    text = "".join(map("".join, parts))
    told = redactor.text(text)
    assert told == redactor.text(told) == msgspec.json.decode(redactor.line(line_of(text)))["input"]["a"]


def test_what_a_placeholder_uncovers_goes_too() -> None:
    """A placeholder can end a quotation that hid the next one; redacting goes on until nothing changes."""
    told = redactor.text('- <PASSWORD:\n"(\r\nclient-secret=\'str?\tx>\\"@h/\nAuthorization\\": \\"abc1\n')
    assert told == redactor.text(told)


@pytest.mark.parametrize("secret", [f"password='{SECRET}'", f"ghp_{MIXED[:36]}"], ids=["by its name", "by its shape"])
def test_half_a_secret_does_not_survive_a_cut(secret: str) -> None:
    """A stretch of a text, wherever it begins or ends, shows nothing of a secret that one of its ends goes through."""
    text = f"{'a ' * 20}{secret} {'b ' * 20}"
    told = [redactor.stretch(text, *ends) for at in range(len(text) + 1) for ends in ((0, at), (at, len(text)))]
    kept = secret[10:].strip("'")
    assert [] == [one for one in told if any(part in one for part in (kept[:3], kept[-3:], kept[5:8]))]


# Settings


def test_own_names() -> None:
    """A name of the user's is secret in every spelling, as a key and in text."""
    own = Redactor(b"k" * 32, names=["social_security", "秘密"])
    told = own.line(line_of({"socialSecurity": "12 34", "秘密": "x1", "text": "SOCIAL-SECURITY=ab12 秘密: 'x1'"}))
    assert not any(secret in told for secret in (b"12 34", b"x1", b"ab12"))


FIELDS_OF_OURS = sorted({field for kind in (Span, Log, Score, Event, Failure) for field in kind.__struct_fields__})


@pytest.mark.parametrize("name", FIELDS_OF_OURS)
def test_own_name_that_a_field_of_ours_has(name: str) -> None:
    """What the user calls so is secret wherever the user calls it so; the fields of records stay what they are."""
    own = Redactor(b"k" * 32, names=[name])
    span = Span(
        trace_id="a" * 32, span_id="b" * 16, start_ns=1, duration_ns=2, kind="tool", name="look_up", status="error",
        input={"deep": [{name: "abc"}]}, events=[Event("happened", 3, {name: "abc"})], error=Failure("Wrong", "no luck"),
    )  # fmt: skip
    told = msgspec.json.decode(own.line(msgspec.json.encode(span)), type=Span)
    hidden = own.placeholder("abc")
    assert replace(span, input={"deep": [{name: hidden}]}, events=[Event("happened", 3, {name: hidden})]) == told


def test_own_pattern_hides_its_group() -> None:
    """A pattern of the user's hides its first group, or all of it."""
    own = Redactor(b"k" * 32, patterns=[r"order (\d+)", r"^EMP-\d+$"])
    assert f"order {own.placeholder('815')}" == own.text("order 815")
    assert {"a": own.placeholder("EMP-7")} == msgspec.json.decode(own.line(line_of("EMP-7")))["input"]


def test_own_pattern_leaves_placeholders_alone() -> None:
    """One that would match the digits of a placeholder does not hide what is hidden."""
    own = Redactor(b"k" * 32, patterns=[r"[0-9a-f]{12}"])
    assert f"password={own.placeholder('hunter2')}" == own.text("password=hunter2")


@pytest.mark.parametrize("value", [{f"ghp_{MIXED[:36]} token": "x"}, {"password": {f"ghp_{MIXED[:36]}": "x"}}])
def test_secret_in_a_key_beside_a_secret_name_goes(value: Any) -> None:
    """That what is kept under a key is a secret says nothing of the key."""
    assert MIXED[:36].encode() not in redactor.line(line_of(value))


def test_kept_names_and_values() -> None:
    """What `keep` names stays: a name, or a whole value."""
    own = Redactor(b"k" * 32, keep=["token", "hunter2"])
    assert "token='abc1' password='hunter2'" == own.text("token='abc1' password='hunter2'")


@pytest.mark.parametrize("field", ["status", "usage", "cost", "detector", "start_ns", "value"])
def test_what_stands_in_the_place_of_a_word_of_ours_is_looked_at(field: str) -> None:
    """Where records come from others a secret may stand where we write a number or a word."""
    assert b"ghp_" not in redactor.line(msgspec.json.encode({"type": "x", field: {"a": f"ghp_{MIXED[:36]}"}}))
    assert b"ghp_" not in redactor.line(msgspec.json.encode({"type": "x", field: f"ghp_{MIXED[:36]}"}))


def test_wrong_pattern_is_named() -> None:
    """A pattern that does not compile is one clear error."""
    with pytest.raises(SettingsError, match=r"redact\.patterns: '\(' is no regular expression"):
        Redactor(b"k" * 32, patterns=["("])


# Odd lines


def test_deep_json_is_redacted() -> None:
    """A line nested too deep to walk is redacted as text."""
    line = b'{"a":' * 3_000 + b'"password=hunter2"' + b"}" * 3_000
    assert b"hunter2" not in redactor.line(line)


def test_lone_surrogates_hide_nothing() -> None:
    """A text that is no valid Unicode is redacted all the same."""
    assert "hunter2" not in redactor.text("\ud800 password=hunter2")


def test_what_is_no_utf8_is_suspected() -> None:
    """Rust cannot read it, so that its searches say nothing: whether there is a secret in it is not known."""
    assert [(0, 4)] == redactor.suspected(b'{"\xff\n')


def test_long_clean_text_is_the_same_object() -> None:
    """A long text without secrets comes back as it is."""
    text = "all quiet " * 5_000
    assert text is redactor.text(text)


# The key


def test_key_is_kept_for_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key lies in the user's state folder, readable to the user alone, and is the same next time."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    installation_key.cache_clear()
    first = installation_key()
    installation_key.cache_clear()
    place = tmp_path / "instrument" / "redaction.key"
    assert (first, 0o600) == (installation_key(), stat.S_IMODE(place.stat().st_mode))
    installation_key.cache_clear()


def test_processes_agree_on_the_key(tmp_path: Path) -> None:
    """Processes that start at once get the same key."""
    code = "from instrument.installation import installation_key; print(installation_key().hex())"
    started = [begun("-c", code, XDG_STATE_HOME=str(tmp_path)) for _ in range(4)]
    assert 1 == len({process.communicate(timeout=60)[0] for process in started})


def test_key_that_cannot_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the state folder cannot be made there is a key for this process alone."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    installation_key.cache_clear()
    assert 32 == len(installation_key())
    installation_key.cache_clear()


def test_broken_key_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key file of the wrong length is made anew."""
    place = tmp_path / "instrument" / "redaction.key"
    place.parent.mkdir()
    place.write_bytes(b"short")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    installation_key.cache_clear()
    key = installation_key()
    assert (32, key) == (len(key), place.read_bytes())
    installation_key.cache_clear()


def test_python_engine_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Rust's engine the quick look gives the same answers."""
    monkeypatch.setitem(sys.modules, "pydantic_core", None)
    slow = redact._search.__wrapped__
    patterns = [
        secret_shapes.LOOK_FOR_NAMES,
        secret_shapes.SURE_OF_NAMES,
        secret_shapes.SURE_OF_WORDS,
        secret_shapes.SURE_OF_OWNERS,
        *secret_shapes.LOOK_FOR_OWNERS,
        secret_shapes.LOOK_FOR_TOKENS,
        secret_shapes.LOOK_FOR_REST,
        secret_shapes.LOOK_BESIDE,
    ]
    texts = [*HARMLESS, *(text.format(SECRET) for text in BOUND_TO_A_NAME), *TOKENS]
    for pattern in patterns:
        fast, other = redact._search(pattern), slow(pattern)
        assert [fast(text) for text in texts] == [other(text) for text in texts]
        assert [fast(f"é{text}".encode()) for text in texts] == [other(f"é{text}".encode()) for text in texts]


# Cuts


def test_half_a_token_at_the_end_of_bytes_is_not_shown() -> None:
    """Of bytes that are no text the first are shown, without the part of a token that the cut goes through."""
    shown = shown_bytes(b"\xff" * 235 + b" " + TOKENS[6].encode() + b" \xff" * 99)["escaped"]
    assert TOKENS[6][:5] not in redactor.text(shown)


def test_half_a_token_at_the_end_of_a_message_is_not_shown() -> None:
    """Of a long message the beginning is shown, cut before a word."""
    with record() as recording:
        log("LONG", "m" * 1_000 + f" {TOKENS[6]}" + " z" * 9_000)
    (told,) = recording.logs
    assert TOKENS[6][:5] not in told.message
