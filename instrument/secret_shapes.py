"""The tables behind redaction: how secrets look, and how the names look that secrets are kept under.

Token shapes are regular expressions in the common part of Python's and Rust's syntax (no look-around), because the
quick look of `redact` hands the very same text to both engines. They are spelled so that each begins with a
literal: that is what makes a search over clean text nearly free.

A new shape has two places: the table, by which the careful look finds it, and the beginning of it in `LOOK_FOR_TOKENS`
(in `LOOK_FOR_SHORT` or `LOOK_FOR_REST` where the literal has three letters or two), without which nobody looks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable


def _table(words: str) -> frozenset[str]:
    return frozenset(words.split())


DISTINCT_TOKENS = (
    # models and their tools
    r"sk-(?:proj|ant|or|lf|svcacct|admin|None)-[A-Za-z0-9_-]{16,}",
    r"pk-lf-[A-Za-z0-9-]{16,}",
    r"gsk_[A-Za-z0-9]{20,}",
    r"xai-[A-Za-z0-9]{20,}",
    r"hf_[A-Za-z0-9]{24,}",
    r"api_org_[A-Za-z0-9]{24,}",
    r"lsv2_(?:pt|sk)_[A-Za-z0-9_]{16,}",
    r"pplx-[A-Za-z0-9]{20,}",
    r"nvapi-[A-Za-z0-9_-]{20,}",
    r"tvly-[A-Za-z0-9-]{16,}",
    r"pcsk_[A-Za-z0-9_]{20,}",
    r"(?:tgp|wandb|pylf)_v1_[A-Za-z0-9_]{32,}",
    # code hosting and packages
    r"gh[opsur]_[A-Za-z0-9]{20,}",
    r"github_pat_[A-Za-z0-9_]{20,}",
    r"gl(?:pat|dt|rt|cbt|ptt|soat)-[A-Za-z0-9_.-]{16,}",
    r"npm_[A-Za-z0-9]{30,}",
    r"pypi-[A-Za-z0-9_-]{32,}",
    r"rubygems_[a-f0-9]{40,}",
    r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{20,}",
    # clouds
    r"A[KS]IA[A-Z0-9]{16,}",
    r"AIza[A-Za-z0-9_-]{35,}",
    r"ya29\.[A-Za-z0-9_-]{20,}",
    r"GOCSPX-[A-Za-z0-9_-]{20,}",
    r"do[opr]_v1_[a-f0-9]{40,}",
    r"LS0tLS1CRUdJTiB(?:SU0Eg|QUklWQVRF|FQyBQ|PUEVOU1NI|FTkNSWVBU|EU0Eg)[A-Za-z0-9+/]{40,}={0,2}",
    r"hv[bs]\.[A-Za-z0-9_-]{20,}",
    r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.=-]{20,}",
    r"sbp_[a-f0-9]{32,}",
    r"glsa_[A-Za-z0-9]{20,}_[a-f0-9]{8}",
    # talk, mail, money
    r"xox[a-z](?:\.xox[a-z])?-[A-Za-z0-9-]{10,}",
    r"xapp-[0-9]-[A-Za-z0-9-]{10,}",
    r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/_-]{20,}",
    r"discord(?:app)?\.com/api/webhooks/[0-9]{8,}/[A-Za-z0-9_-]{20,}",
    r"sk_(?:live|test|prod)_[A-Za-z0-9]{10,}",
    r"rk_(?:live|test|prod)_[A-Za-z0-9]{10,}",
    r"sb_secret_[A-Za-z0-9_-]{20,}",
    r"whsec_[A-Za-z0-9+/=]{16,}",
    r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
    r"shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32}",
    r"sq0(?:atp|csp)-[A-Za-z0-9_-]{20,}",
    r"ntn_[A-Za-z0-9]{24,}",
    r"lin_api_[A-Za-z0-9]{24,}",
    r"figd_[A-Za-z0-9_-]{20,}",
    r"ATATT3[A-Za-z0-9_=-]{20,}",
    r"PMAK-[a-f0-9]{24}-[a-f0-9]{20,}",
    r"NRAK-[A-Z0-9]{20,}",
    r"sntry[us]_[A-Za-z0-9_=+/-]{20,}",
    r"AGE-SECRET-KEY-1[A-Z0-9]{50,}",
    # tokens, a registry's passwords and the key of a service account in base64, as Kubernetes keeps secrets
    r"c2st(?:cHJvai|YW50L|b3It|c3ZjYWNj)[A-Za-z0-9+/]{24,}={0,2}",
    r"Z2(?:l0aHViX3BhdF|xwYXQt)[A-Za-z0-9+/]{24,}={0,2}",
    r"eyJ(?:hdXRocyI6|0eXBlIjoic2VydmljZV9hY2NvdW50|0eXBlIjogInNlcnZpY2VfYWNjb3VudC)[A-Za-z0-9+/]{24,}={0,2}",
    # signed tokens: header, payload, signature (or the five parts of an encrypted one)
    r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+){0,3}",
)
"""Shapes that hardly occur by chance: found wherever they stand."""

BOUNDED_TOKENS = (
    r"sk-[A-Za-z0-9_-]{16,}",
    r"sk_[a-f0-9]{48}",
    r"secret_[A-Za-z0-9]{43}",
    r"r8_[A-Za-z0-9]{24,}",
    r"fw_[A-Za-z0-9]{20,}",
    r"AQ\.[A-Za-z0-9_-]{40,}",
    r"csk-[A-Za-z0-9]{32,}",
    r"key-[a-f0-9]{32}",
    r"SK[a-f0-9]{32}",
    r"dapi[a-f0-9]{32}(?:-[0-9])?",
    r"Z2h[1vwz]X[0-3yz][A-Za-z0-9+/]{40,}={0,2}",
)
"""Shapes that could be the end of a word (`task-…`): found only where no letter or digit stands before."""

INNER_TOKENS = (
    (r":AA[A-Za-z0-9_-]{33}", r"[0-9]{8,10}$"),
    (r"JQQJ99[A-Za-z0-9]{20,}", r"[A-Za-z0-9]{40,60}$"),
    (r"Q~[A-Za-z0-9_~.-]{31,34}", r"[A-Za-z0-9_~.-]{3}[0-9]$"),
)
"""Tokens that are known by what stands within them, and what stands before that: of Telegram, Azure's AI and Entra."""

STRONG_NAMES = _table(
    """
    password passwd pwd passphrase passcode secret secrets authorization apikey apikeys accesskey secretkey
    privatekey authkey credential credentials cookie cookies jwt bearer passwords
    """
)
"""Last words of a name that make its value a secret."""

STRONG_ENDINGS = (
    "password",
    "passwords",
    "passwd",
    "passphrase",
    "secret",
    "apikey",
    "accesskey",
    "secretkey",
    "privatekey",
    "accountkey",
    "authtoken",
    "accesstoken",
    "refreshtoken",
    "idtoken",
    "sessiontoken",
    "apitoken",
    "bottoken",
    "usertoken",
    "bearertoken",
    "csrftoken",
    "setcookie",
    "dbpwd",
)
"""Endings that do the same where a name is written in one piece (`clientsecret`)."""

KEY_OWNERS = _table(
    """
    api access secret private account auth signing encryption encrypt master shared subscription storage ssh deploy
    service licence license session hmac webhook jwt openai anthropic gemini azure aws groq mistral cohere hf
    huggingface sendgrid stripe fernet symmetric decryption functions pinecone tavily serper serpapi perplexity
    deepseek openrouter fireworks together elevenlabs replicate voyage jina langsmith langfuse github gitlab google
    datadog twilio mailgun cloudflare
    """
)
"""Words before `key` that make it a secret; `sort_key`, `primary_key`, `public_key` are none."""

PASS_OWNERS = _table(
    """
    db database mysql postgres pg redis smtp mail email ftp user admin root ssh mongo proxy http key become login
    ldap rabbitmq keystore
    """
)
"""Words before `pass` that make it a password; `first_pass` is none."""

PLAIN_TOKENS = _table(
    """
    next previous prev page continuation continue sync cancel cancellation eos bos pad unk sep mask cls special stop
    start end first last per max min num total prompt completion output input new current text image audio this each
    every single one a the another thought word control reserved
    """
)
"""Words before `token` that make it a piece of text or a place in a list, not a secret."""

AUTH_OWNERS = _table(
    """
    basic proxy http rediscli
    """
)
"""Words before `auth` that make it user name and password."""

TRAILING_WORDS = _table(
    """
    value confirmation confirm prod production staging dev live old new base json pem
    """
)
"""Words after a secret name that leave it one: `password_confirmation`, `OPENAI_API_KEY_PROD`."""

HARMLESS_VALUES = _table(
    """
    none null nil undefined true false yes no on off str string int integer float double number bool boolean bytes
    object any array list dict map tuple optional union required missing empty hidden redacted masked secret
    password token include omit same-origin inherit unset default text char varchar
    """
)
"""Values that say something about a secret instead of being one."""

AUTH_SCHEMES = r"(?:bearer|basic|token|apikey|api-key|digest|negotiate|ntlm|hawk|aws4-hmac-sha256|key|oauth)"
"""Words that stand before the secret in an `Authorization` header."""

# How a secret hides in running text. These are searched by Python alone.

DISTINCT, BOUNDED = "|".join(DISTINCT_TOKENS), "|".join(BOUNDED_TOKENS)

BEFORE_BOUNDED = r"(?:^|[^A-Za-z0-9]|\\[nrtbf]|\\u[0-9a-f]{4}|\\x[0-9a-f]{2}|%[0-9A-F]{2}|\[[0-9;]*m)$"
"""What may stand before a bounded token: no letter or digit, unless it belongs to an escape."""

_KEY_LABEL = r"(?:[A-Z0-9 +]|%20){0,40}PRIVATE(?:[ +]|%20)KEY(?:(?:[ +]|%20)BLOCK)?-----"
_KEY_HEADER = r"(?:Proc-Type|DEK-Info|Version|Comment): [^\r\n\\\"']*"
_KEY_BREAK = r"(?:[\s\"'`,()]|\\+[nr\"'`]|[bru](?=\\*[\"'`]))+"
PRIVATE_KEY = (
    rf"-----BEGIN(?:[ +]|%20){_KEY_LABEL}(?:(?:(?!-----)[^\"'`])*-----END(?:[ +]|%20){_KEY_LABEL}"
    rf"|(?:(?:\s|\\+[nr])+(?:[A-Za-z0-9+/=]{{16,}}|{_KEY_HEADER}))+(?:(?:\s|\\+[nr])+[A-Za-z0-9+/=]+)?"
    rf"|(?:{_KEY_BREAK}(?:[A-Za-z0-9+/=]{{30,}}|{_KEY_HEADER}))+(?:{_KEY_BREAK}[A-Za-z0-9+/=]{{2,}}(?=\\*[n\"'`]))?)"
)
"""A whole PEM block, or its beginning when the end was cut off; in code and lists each line wears quotes."""

PRIVATE_KEY_END = rf"-----END(?:[ +]|%20){_KEY_LABEL}"
PRIVATE_KEY_BODY = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\\\r\n\t"
"""The end of a PEM block whose beginning was cut off, and the characters that may stand before it."""

_URL_CHARACTER = r"(?:[^\s\"'`<>@/?#\\]|\\[^nrtbf\"'`\s])"
URL_PASSWORD = (
    rf"://[^\s/@:\"'`<>\\]{{0,256}}:(?P<password>{_URL_CHARACTER}(?:{_URL_CHARACTER}|@(?=[^\s/\"'`<>]*@))*"
    r"|(?![0-9]{1,5}[/?#])[^\s\"'`<>@\\]+)@(?=[A-Za-z0-9\[_%{$.-])"
)
"""The password in `scheme://user:password@host`, also one that holds an unescaped `@`, `/`, `?` or `#`."""

SIGNED_URL = (
    r"[?&](?:X-Amz-Signature|X-Goog-Signature|X-Amz-Security-Token|Signature|sig)=(?P<password>[^\s&\"'`<>\\]{16,})"
)
"""What makes a signed URL work."""

URL_TOKEN = r"https?://(?P<password>[A-Za-z_-]*[0-9][A-Za-z0-9_-]*)@(?=[A-Za-z0-9\[])"
"""What stands in the place of a user and is too long for the name of one: a token."""

ENCODED_URL_PASSWORD = (
    r"%3[Aa]%2[Ff]%2[Ff][^\s\"'`&%]{0,256}%3[Aa](?P<password>(?:[^\s\"'`&%]|%(?!40)){1,128}+)%40(?=[A-Za-z0-9])"
)
"""The password of a URL that is itself an argument in another one."""

_GAP = r"(?:\s|\\+[nrt])+"
_WITHIN = r"[^\r\n|;]{0,200}?(?:\\\r?\n[^\r\n|;]{0,200}?){0,8}?"
COMMAND_PASSWORD = {
    "curl": (
        rf"\bcurl\b{_WITHIN}[\s\"',](?:-[sSfkLivgnNO]*u|--user|--proxy-user)[\s\"',\\=]*"
        r"[^\s:\"',\\]{1,100}:{password}"
    ),
    "curl ": rf"\bcurl\b{_WITHIN}\s(?:-b|--cookie)[\s\"'\\=]+[^\s=\"',\\]{{1,100}}={{password}}",
    "sshpass": r"\bsshpass\s+-p[\s\"',\\]*{password}",
    "redis-cli": rf"\bredis-cli\b{_WITHIN}\s(?:-a|--pass)[\s\"',\\=]+{{password}}",
    "docker": r"\bdocker\s+login\b[^\r\n|;]{0,200}?\s-p[\s=]+{password}",
    "<Cookie ": r"<Cookie [^\s=<>]+={password}(?= for )",
    "mysql": r"\b(?:mysql|mysqldump|mysqladmin)\s(?:[^\r\n|;]{0,300}?\s)?-p\\*[\"']?{password}",
    "mariadb": r"\bmariadb\s(?:[^\r\n|;]{0,300}?\s)?-p\\*[\"']?{password}",
    "machine": rf"\bmachine{_GAP}[^\s\\]+{_GAP}login{_GAP}[^\s\\]+{_GAP}password{_GAP}{{password}}",
    "PASSWORD": r"\bPASSWORD[ \t]*\(?[ \t]*\\*'{password}(?=\\*')",
    "IDENTIFIED": r"\bIDENTIFIED[ \t]+(?:WITH[ \t]+\S+[ \t]+)?BY[ \t]+\\*[\"']{password}(?=\\*[\"'])",
    "assword": r"\b[Pp]assword[ \t]+\\*[\"'](?=[^\s\"']*[0-9]){password}(?=\\*[\"'])",
    "assword ": r"<(?:[\w-]{1,20}:)?[Pp]assword[ \t][^<>]{1,200}>(?P<password>[^\s<>]+)(?=<)",
    "SecretStr(": r"\bSecretStr\([ \t]*\\*[\"']{password}(?=\\*[\"'])",
    "auth=(": r"\bauth=\(\\*[\"'][^\s\"'\\]*\\*[\"'],[ \t]*\\*[\"']{password}(?=\\*[\"']\))",
    "BasicAuth(": r"BasicAuth\([ \t]*\\*[\"'][^\s\"'\\]*\\*[\"'],[ \t]*\\*[\"']{password}(?=\\*[\"'])",
}
COMMANDS = {word: one.replace("{password}", r"(?P<password>[^\s\"'`\\,]+)") for word, one in COMMAND_PASSWORD.items()}
"""Passwords of commands that have an option of their own for them and of `.netrc`; cookies as a jar shows them;
passwords that SQL sets, and those that Python code hands over without a name.

By the word that a text must hold: to look for it takes a hundredth of the time.
"""

BEARER = r"(?:\b|(?<=%20))(?:[Bb]earer|BEARER)(?:[ \t]|%20)+(?P<password>[A-Za-z0-9._~+/=-]{8,})"
BASIC = r"(?:\b|(?<=%20))(?:[Bb]asic|BASIC)(?:[ \t]|%20)+(?P<password>[A-Za-z0-9+/]{6,}={0,2})"

ENCODED_QUOTE = r"%2[27]|&quot;|&#3[49];|\\+u0022|\\+x22"
"""A quote as URLs, HTML and JSON may write it."""

ASSIGNMENT = (
    r"(?<![A-Za-z0-9_$.-])(?P<name>{own}[A-Za-z0-9_$.-]{{2,80}}+)(?:(?P<close>\\*[\"'`])|(?P<encoded>{encoded}))?"
    r"\]?(?:\s|\\+[nrt]){{0,8}}"
    r"(?P<sep>=>|:=|={{1,3}}|!==?|:|(?<=\w)>(?=[^\s<>])|%3[Dd]|\\+u003[dD]|(?:is|was)(?=[ \t:])"
    r"|(?(encoded)%3[Aa]|(?!))"
    r"|(?:,[ \t]{{0,8}}|(?:[ \t]*(?:[\r\n]|\\+[nr]){{1,2}}[ \t]{{0,40}}))value:(?=[ \t])"
    r"|(?(close),?(?:\s|\\+[nrt]){{0,8}}\\*[\"']?(?:[vV]alue|VALUE)\\*[\"']?\s?[:=]|(?!))"
    r"|(?(close),(?=[ \t]{{0,8}}[bBrRuU]?\\*[\"'])|(?!)))"
)
"""A name and what binds it to a value; `{own}` takes names of the user's that are no identifiers.

The value may be a neighbour's: `"name": "API_KEY", "value": "…"`, and the sign may be written for a URL or for HTML.
"""

TOLD = r"[ \t:]*[\"'`]?(?P<value>[^\s\"'`<>]{6,})"
"""What somebody says a password is."""

FLAG = r"-(?<![\w-]-)-?(?P<name>[a-z][a-z0-9_-]{1,60})(?P<close>\\*[\"'])?(?:,\s*|[ \t]+)(?=[^\s-])"
"""An option of a command line whose value is the next word."""

SETTING = (
    r"\b(?:setx|setenv|set(?:[ \t]+-[A-Za-z]+)+|(?:config|configure)[ \t]+set|config(?:[ \t]+--[a-z]+)*)[ \t]+"
    r"(?P<name>[^\s=\"'`]{2,80})[ \t]+(?=[^\s=-])"
)
"""A command that sets the variable or option that it names."""

SETTERS = ("setx", "setenv", "set -", "config ", "configure ")
"""What a text with such a command holds."""

INPUT_VALUE = (
    r"(?<![\w.])(?P<name>[A-Za-z_][\w.]{1,80}+)(?:[\r\n]|\\+n)[ \t]{2}(?:[^\r\n\\]|\\(?!n)){1,300}?"
    r"\[type=\w+, input_value=(?P<value>[^\s{\[(](?:[^\r\n\\]|\\(?!n)){0,200}?), input_type="
)
"""What pydantic says of a value that it refuses."""

BLANK = r"(?:[ \t]|(?:\s|\\+[nrt])+(?=[bBrRuUfF]{0,2}\\*[\"'`\[{]))*"
"""Between the sign and the value; over the end of a line only to something quoted."""

ANNOTATION = (
    r"[ \t]*[A-Za-z_][\w.]*(?:\[[^\]\n\"']{0,60}\]+)?(?:[ \t]*\|[ \t]*[\w.\[\]]+)*"
    r"(?:[ \t]+=(?=[ \t])|=(?=[bBrRuUfF]?\\*[\"']))"
)
"""The type between a name and its default: `password: str = …`."""

OPENING_QUOTE = (
    r"[bBrRuUfF]{0,2}(?P<escape>\\*)"
    r"(?P<quote>\"(?:(?P=escape)\"(?P=escape)\")?|'(?:(?P=escape)'(?P=escape)')?|`)"
)
BRACKET = r"\\*[\"'`]|[\[\](){}]|(?<![\w.])[0-9][0-9.]{3,}(?![\w.])"
CONTENTS = r"(?!\{\{)[\[{(](?:\s|\\+[nrt])*(?:[bBrRuUfF]{0,2}\\*[\"'`]|[0-9\[{])"
SCHEMA = r"\{\s*\\*[\"'](?:type|anyOf|oneOf|allOf|\$ref|description|title|enum)\\*[\"']\s*:"

_STOP = r"(?:[^{stop}\\]|\\(?![nrtbfux\"'`])){1,65000}"
LINE_VALUE = _STOP.replace("{stop}", r"\s\"'`")
QUERY_VALUE = _STOP.replace("{stop}", r"\s\"'`&#<>")
WORD_VALUE = _STOP.replace("{stop}", r"\s\"'`,;<>&|(){}\[\]")
HEADER_VALUE = _STOP.replace("{stop}", r"\r\n\"'`")

EXPRESSION = (
    r"[A-Za-z_]\w*(?:\[|\(|(?:\.[A-Za-z_]\w*)+[(\[]|(?:\.[A-Za-z_]+)+$)"
    r"|(?:self|cls|this|os|settings|config|args|env)\."
)
"""A value that is code: a call, an item, an attribute."""

TEMPLATE = (
    r"\W{0,3}(?:\{\{?[\w .!:()\[\]]*\}?\}|\$\{[^{}]*\}|\$[A-Z_]+|\$\([^()]*\)|%\(?\w*\)?s|<[^<>]{1,60}>|\*{3,}"
    r"|[xX]{3,}|\.{3}|…|[Yy][Oo][Uu][Rr][-_ ].*)\W{0,3}"
)
"""A value that stands for one."""

PATH = r"(?:[A-Za-z]:|~|\.{1,2})?[/\\](?:[\w.@ -]+[/\\])*[\w.@ -]*"
TEMPLATE_HERE = r"<[^<>\r\n]{1,60}>|\{\{[^{}\r\n]*\}\}|[$#]\{[^{}\r\n]*\}"
PLACEHOLDER = re.compile(r"\[redacted:[0-9a-f]{12}\]")
COOKIE = r"\s*[\w!#$%&*+.^|~-]+=[^\s;]"

# The quick look. It must take nothing for clean that the careful look would change, and may well suspect more. Its
# speed hangs on the literals that the alternatives begin with. The engine looks for up to 64 of them in one go, by
# their first four letters (three, if one has no more), those that stand sixteen apart together: where these are alike
# in nothing (`curl` with `scale_`) many words of clean text look like one of them. So the order below is one that was
# searched for; another one is as right and takes up to twice the time.

_TRAIL = rf"(?:[_.-]?(?:[0-9]+|(?i:{'|'.join(sorted(TRAILING_WORDS))})))*"
_CLOSE = r"[\"'`\\\] \t]*(?:\\+[nrt]|[ \t\r\n])*"
_NOT_OURS = r"\[(?:[^r]|r[^e]|re[^d]|red[^a])"
_QUOTED = rf"[bBrRuUfF]?[bBrRuUfF]?(?:\\*[\"'`]){{1,4}}(?:[^\"'`\\\[]|{_NOT_OURS}|\\+[^\"'`\\])"
_BARE = r"[A-Za-z_.:]*[^ \r\n\tA-Za-z_\"'`\\\[\]{}(),;.:]"
_SCHEME_AND_MORE = r"[A-Za-z-]+[ \t]+[^ \t\r\n0-9\"'`]*[0-9]"
_LAST_WORD = r"[A-Za-z_]+[ \t]*(?:[<&;#\"'`\\]|[.,][A-Za-z]|$|[\r\n])"
_VALUE = (
    r"(?:[A-Za-z_ ][A-Za-z0-9_.|\[\], ]*=)?(?:[ \t\r\n]|\\+[nrt])*"
    rf"(?:{_QUOTED}|[{{(]|{_NOT_OURS}|{_BARE}|{_SCHEME_AND_MORE}|{_LAST_WORD}|[A-Za-z_.:]*\\+[^nrt\"'`\\])"
)
_PAIRED = (
    r",?(?:\\+[nrt]|[ \t\r\n])*[\\\"']*(?:[vV]alue|VALUE)|,(?:\"(?:[^\"\\]|\\.)*\"|\{\"\$bytes[^{}]*\})\]"
    r"|\},\{\"\$bytes|,[ \t]*[bBrRuU]?\\*[\"'][^\"'\\]*[0-9]"
)
_BOUND = (
    rf"{_TRAIL}(?:{_CLOSE}(?:(?:[!:=]?=+|=>|:|>){_VALUE}|[=>][A-Za-z_]+[ \t]|%3[Dd]|\\+u003[dD]|{_PAIRED}"
    r"|(?:is|was)[ \t:][^ \t\r\n]*[ \t:]*[^ \t\r\n]*[0-9])"
    r"|[ \t]+(?:\\*[\"'`][^\"'`\\]*[0-9]|[^ \t\r\n\"'`0-9]*[0-9])"
    r"|(?:%2[27]|&quot;|&#3[49];|\\+u0022|\\+x22)[ \t]*(?::|%3[Aa])|[\"'\])\\]*\"(?:\}|,\"[A-Za-z_]+\":))"
)

_BEARER = r"(?:[ \t]|%20)+[A-Za-z0-9._~+/=-]{8}"
_TOLD = r"[ \t]*\(?[ \t]*\\*'[^ \t\r\n']|[ \t]+(?:\\*\"[^\"]|[A-Za-z:]+=\\*[\"'][^<>]*>)"
LOOK_FOR_SHORT = (
    r"/webhooks/[0-9]|hf_[A-Za-z0-9]{20}|_v1_[A-Za-z0-9_]{32}|fw_[A-Za-z0-9]{16}|%2[Ff]%2[Ff][^ \t\r\n%]*%3[Aa]"
    r"|r8_[A-Za-z0-9]{20}|://[^ \t\r\n/@:\"'`<>]*:[^ \t\r\n\"'`<>]+@|://(?:errors\.pydantic|[A-Za-z0-9_-]{20}[A-Za-z0-9_-]*@)"
    r"|\"auth\":\["
    r"|sk[-_][A-Za-z0-9_-]{8}|:AA[A-Za-z0-9_-]{30}|eyJ(?:[A-Za-z0-9_-]{8,}\.|hdXRocyI6|0eXBlIjo)|sq0[a-z]{3}-|SG\.[A-Za-z0-9_-]{16}|[?&]sig="
    r"|<Cookie |xox[a-z][.-]|-----(?:BEGIN|END)(?:[ +]|%20)[A-Z0-9 +%]*PRIVATE|key-[a-f0-9]{32}"
    rf"|(?:earer|EARER){_BEARER}"
)
SURE_OF_WORDS = (
    rf"(?:(?:dential|DENTIAL)[sS]?|oken|OKEN|sphrase|SPHRASE|earer|EARER){_BOUND}"
    rf"|(?:cret|CRET)(?:[sS]?{_BOUND}|_[A-Za-z0-9_-]{{20}}|Str\()|(?:jwt|JWT|Jwt){_BOUND}"
    rf"|(?:ssword|SSWORD)(?:[sS]?{_BOUND}|{_TOLD})"
    rf"|(?:(?:ssWord|sswd|SSWD|ookie|OOKIE)[sS]?|pwd|PWD|Pwd|rization|RIZATION|sscode|SSCODE){_BOUND}"
)
LOOK_BESIDE = rf"cret_[A-Za-z0-9_-]{{20}}|cretStr\(|(?:ssword|SSWORD)(?:{_TOLD})"
"""What the careful look finds by its shape, of all that `SURE_OF_WORDS` finds."""

SURE_OF_NAMES = rf"{SURE_OF_WORDS}|{LOOK_FOR_SHORT}"
LOOK_FOR_NAMES = rf"(?:_pass|_PASS|-auth|-Auth|_auth|_AUTH|(?:key|Key|KEY)[sS]?){_BOUND}|{SURE_OF_NAMES}"
"""Names with a value, and the tokens that begin with three letters."""

SURE_OF_OWNERS = (
    rf"(?:(?i:{'|'.join(sorted(KEY_OWNERS))})[-_. ]?(?i:keys?)"
    rf"|(?i:{'|'.join(sorted(PASS_OWNERS))})[-_.]?(?i:pass)"
    rf"|(?i:{'|'.join(sorted(AUTH_OWNERS))})[-_.]?(?i:auth)){_BOUND}"
)
"""Asked when `LOOK_FOR_NAMES` found something and `SURE_OF_NAMES` did not: tells `api_key` from `sort_key`."""

_KEY = "(?:key|keY|kEy|kEY|Key|KeY|KEy|KEY)[sS]?"
_OWNERS_ENDS = "|".join(sorted({owner[-2:] for owner in KEY_OWNERS}))
LOOK_FOR_OWNERS = (
    rf"(?i:{_OWNERS_ENDS})[-_. ]{_KEY}{_BOUND}",
    rf"[A-Za-z][A-Za-z]{_KEY}{_BOUND}",
    rf"(?:(?i:pass)|(?i:auth)){_BOUND}",
)
"""Asked before `SURE_OF_OWNERS`, which has no literals to skip by and takes ten times as long."""

LOOK_FOR_TOKENS = (
    r"npm_[A-Za-z0-9]{24}|scale_|AGE-SECRET|ASIA[A-Z0-9]{16}|glsa_|glcbt|tvly-|whsec_|xapp-[0-9]|xai-[A-Za-z0-9]{16}"
    r"|ntry[us]_|pk-lf-|k_live_[A-Za-z0-9]{8}|mysql[a-z]*[ \t\"][^\r\n|;]*-p|docker[ \t]+login|dckr_|lin_api_|lsv2_"
    r"|curl(?:[^\r\n|;]|\\\r?\n)*[ \t\"',](?:-[A-Za-z]*[ub]|--user|--proxy-user|--cookie)"
    r"|ASIC(?:[ \t]|%20)+[A-Za-z0-9+/][a-z+/]*[A-Z0-9=]"
    r"|pcsk_|glptt|glsoat|ignature=|AKIA[A-Z0-9]{16}|sbp_[a-f0-9]{24}|hv[bs]\.[A-Za-z0-9_-]{16}|PMAK-"
    r"|pypi-[A-Za-z0-9_-]{24}|hooks\.slack\.com/|CSPX-|ya29\.|sshpass|mariadb[a-z]*[ \t\"][^\r\n|;]*-p"
    r"|gh[opsur]_[A-Za-z0-9]{16}|AIza[A-Za-z0-9_-]{32}|pplx-[A-Za-z0-9]{16}|gsk_[A-Za-z0-9]{16}|gldt-|api_org_|ATATT3"
    r"|figd_|dapi[a-f0-9]{32}|ntn_[A-Za-z0-9]{16}|nvapi-|curity-Token=|asic(?:[ \t]|%20)+[A-Za-z0-9+/][a-z+/]*[A-Z0-9=]"
    r"|shp[acps][ats]_|pat[-_][A-Za-z0-9_.-]{16}|rubygems_|glrt-|k_(?:test|prod)_[A-Za-z0-9]{8}"
    r"|machine(?:[ \t\r\n]|\\+[nrt])+[^ \t]+(?:[ \t\r\n]|\\+[nrt])+login|NRAK-"
)
"""The other tokens, by their beginning, or by what is left of it where a few are taken together; commands."""

LOOK_FOR_REST = (
    r"--(?:[A-Za-z0-9_-]*[-_])?(?i:pass|secret|token|key|api-?key|pwd|auth|credential|cookie|jwt|bearer)[A-Za-z0-9_-]*"
    r"[\"'\\]*,?[\"'\\ \t]+[^ -]|SK[a-f0-9]{32}|AQ\.[A-Za-z0-9_-]{32}"
    r"|LS0tLS1CRUdJTi|JQQJ99|Q~[A-Za-z0-9_~.-]{31}|FIED[ \t]+[^\r\n]*BY[ \t]|cAuth\(|-cli[ \t]"
    r"|=\(\\*[\"'][^\"'\\ ]*\\*[\"'],[ \t]*\\*[\"'][^\"'\\ ]*\\*[\"']\)"
    r"|c2st(?:cHJvai|YW50L|b3It|c3ZjYWNj)|Z2(?:l0aHViX3BhdF|xwYXQt|h[1vwz]X[0-3yz][A-Za-z0-9+/]{40})"
)
"""What would slow the others down, as its literals are so short."""


def words(name: str) -> list[str]:
    """The words of a name: `dbPassword`, `DB-PASSWORD` and `db_password` have the same two."""
    return _WORD.findall(name)


def look_for_own(names: Iterable[str]) -> str:
    """The quick look for names of the user's, in any case and with any sign between their words."""
    spelled = (r"[^A-Za-z0-9]?".join(map(re.escape, words(name))) for name in names)
    return rf"(?i:{'|'.join(spelled)})"


def assignment(names: Iterable[str]) -> str:
    """`ASSIGNMENT` for a user with these names of their own."""
    foreign = [re.escape(name) for name in names if not _IDENTIFIER.fullmatch(name)]
    return ASSIGNMENT.format(own="".join(f"{name}|" for name in foreign), encoded=ENCODED_QUOTE)


_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+|[^\W\d_A-Za-z]+")
_IDENTIFIER = re.compile(r"[A-Za-z0-9_$.-]{2,80}")
