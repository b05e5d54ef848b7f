"""What hostile clients send, as bytes: requests that two readers may understand in two ways (RFC 9112 §11.2).

Every entry is followed on the wire by a whole second request. `REFUSED`: one answer, an error, and the end. `SOUND`:
there is one reading, so both are answered.
"""

from __future__ import annotations

HOST = b"Host: huggingface.co\r\n"
TE = b"Transfer-Encoding: chunked\r\n"
FIVE = b"Content-Length: 5\r\n"
NONE = b"0\r\n\r\n"
LINE = b"GET /api/models/acme/tiny HTTP/1.1\r\n"
GET = LINE + HOST
#: Collected by us, and relayed as it comes.
POSTS = (b"POST /api/models/acme/tiny/paths-info/main HTTP/1.1\r\n", b"POST /api/repos/create HTTP/1.1\r\n")


def posts(fields: bytes, body: bytes) -> list[bytes]:
    return [start + HOST + fields + b"\r\n" + body for start in POSTS]


#: name -> header fields, body
_BODIES: dict[str, tuple[bytes, bytes]] = {
    "CL.TE": (b"Content-Length: 6\r\n" + TE, b"0\r\n\r\nG"),
    "TE.CL": (TE + b"Content-Length: 4\r\n", b"5c\r\nGPOST / HTTP/1.1\r\n\r\n0\r\n\r\n"),
    "TE.TE other first": (b"Transfer-Encoding: xchunked\r\n" + TE, NONE),
    "TE.TE other last": (TE + b"Transfer-Encoding: identity\r\n", NONE),
    "TE twice": (TE + TE, NONE),
    "chunked, chunked": (b"Transfer-Encoding: chunked, chunked\r\n", NONE),
    "chunked, identity": (b"Transfer-Encoding: chunked, identity\r\n", NONE),
    "identity, chunked": (b"Transfer-Encoding: identity, chunked\r\n", NONE),
    "gzip, chunked": (b"Transfer-Encoding: gzip, chunked\r\n", NONE),
    "gzip": (b"Transfer-Encoding: gzip\r\n", NONE),
    "identity": (b"Transfer-Encoding: identity\r\n", b""),
    "xchunked": (b"Transfer-Encoding: xchunked\r\n", NONE),
    "chunked x": (b"Transfer-Encoding: chunked x\r\n", NONE),
    "chunked;q": (b"Transfer-Encoding: chunked;q=1\r\n", NONE),
    "quoted": (b'Transfer-Encoding: "chunked"\r\n', NONE),
    "comma first": (b"Transfer-Encoding: ,chunked\r\n", NONE),
    "vertical tab": (b"Transfer-Encoding:\x0bchunked\r\n", NONE),
    "TE with no value": (b"Transfer-Encoding:\r\n", NONE),
    "TE, space before the colon": (b"Transfer-Encoding : chunked\r\n", NONE),
    "TE, tab before the colon": (b"Transfer-Encoding\t: chunked\r\n", NONE),
    "TE, space before the name": (b" Transfer-Encoding: chunked\r\n", NONE),
    "TE folded": (b"Transfer-Encoding:\r\n chunked\r\n", NONE),
    "TE behind a bare CR": (b"X: y\rTransfer-Encoding: chunked\r\n", NONE),
    "TE behind a bare LF": (b"X: y\nTransfer-Encoding: chunked\r\n", NONE),
    "TE and NUL": (b"Transfer-Encoding: chunked\x00\r\n", NONE),
    "TE in other letters": (b"Transfer-Encoding: chun\xe2\x84\xaaed\r\n", NONE),
    "two lengths": (b"Content-Length: 5\r\nContent-Length: 0\r\n", b"hello"),
    "two lengths, the same": (FIVE + FIVE, b"hello"),
    "5, 5": (b"Content-Length: 5, 5\r\n", b"hello"),
    "5, 0": (b"Content-Length: 5, 0\r\n", b"hello"),
    "+5": (b"Content-Length: +5\r\n", b"hello"),
    "-5": (b"Content-Length: -5\r\n", b"hello"),
    "-0": (b"Content-Length: -0\r\n", b""),
    "0x5": (b"Content-Length: 0x5\r\n", b"hello"),
    "5.0": (b"Content-Length: 5.0\r\n", b"hello"),
    "05": (b"Content-Length: 05\r\n", b"hello"),
    "5_0": (b"Content-Length: 5_0\r\n", b"hello"),
    "5 5": (b"Content-Length: 5 5\r\n", b"hello"),
    "5e0": (b"Content-Length: 5e0\r\n", b"hello"),
    "no length in it": (b"Content-Length: \r\n", b""),
    "arabic digits": (b"Content-Length: \xd9\xa5\r\n", b"hello"),
    "length, space before the colon": (b"Content-Length : 5\r\n", b"hello"),
    "length folded": (b"Content-Length:\r\n 5\r\n", b"hello"),
    "length, NUL in the name": (b"Content-\x00Length: 5\r\n", b"hello"),
    "expectation": (b"Expect: 200-ok\r\n" + FIVE, b"hello"),
    "upgrade": (
        b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n",
        b"",
    ),
    "websocket": (
        b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n",
        b"",
    ),
    "a second Host": (HOST, b""),
    "Host folded": (b"X: a\r\n Host: evil.example\r\n", b""),
    # Chunks
    "chunk size too large": (TE, b"fffffffffffffffff\r\nhello\r\n" + NONE),
    "chunk size wraps": (TE, b"10000000000000005\r\nhello\r\n" + NONE),
    "chunk size negative": (TE, b"-5\r\nhello\r\n" + NONE),
    "chunk size with plus": (TE, b"+5\r\nhello\r\n" + NONE),
    "chunk size 0x": (TE, b"0x5\r\nhello\r\n" + NONE),
    "chunk size, underscore": (TE, b"0_5\r\nhello\r\n" + NONE),
    "chunk size, space before": (TE, b" 5\r\nhello\r\n" + NONE),
    "chunk size, space behind": (TE, b"5 \r\nhello\r\n" + NONE),
    "no chunk size": (TE, b"\r\nhello\r\n" + NONE),
    "chunk shorter than it says": (TE, b"6\r\nhello\r\n" + NONE),
    "chunk longer than it says": (TE, b"4\r\nhello\r\n" + NONE),
    "chunk line ends in LF": (TE, b"5\nhello\r\n0\r\n\r\n"),
    "chunk line ends in CR": (TE, b"5\rhello\r\n0\r\n\r\n"),
    "chunk data ends in LF": (TE, b"5\r\nhello\n0\r\n\r\n"),
    "chunk data ends in two letters": (TE, b"5\r\nhelloXX0\r\n\r\n"),
    "last chunk ends in LF": (TE, b"5\r\nhello\r\n0\n\n"),
    "extension with LF": (TE, b"5;a\nx\r\nhello\r\n" + NONE),
    "extension with CR": (TE, b"5;a\rx\r\nhello\r\n" + NONE),
    "extension with NUL": (TE, b"5;a=\x00\r\nhello\r\n" + NONE),
    "extension with no name": (TE, b"5;\r\nhello\r\n" + NONE),
    "extension without end": (TE, b"5;a=" + b"b" * 400 + b"\r\nhello\r\n" + NONE),
    "trailer": (TE, b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"),
    "trailer with Host": (TE, b"5\r\nhello\r\n0\r\nHost: evil.example\r\n\r\n"),
    "trailer with a length": (TE, b"5\r\nhello\r\n0\r\nContent-Length: 100\r\n\r\n"),
}

#: name -> request line, whatever ends it included
_LINES: dict[str, bytes] = {
    "HTTP/0.9 by name": b"GET /api/models/acme/tiny HTTP/0.9\r\n",
    "HTTP/1.2": b"GET /api/models/acme/tiny HTTP/1.2\r\n",
    "HTTP/2.0": b"GET /api/models/acme/tiny HTTP/2.0\r\n",
    "http/1.1": b"GET /api/models/acme/tiny http/1.1\r\n",
    "HTTP/1.10": b"GET /api/models/acme/tiny HTTP/1.10\r\n",
    "two spaces": b"GET  /api/models/acme/tiny HTTP/1.1\r\n",
    "tab for a space": b"GET\t/api/models/acme/tiny\tHTTP/1.1\r\n",
    "space before": b" " + LINE,
    "space in the URL": b"GET /api/models/acme/tiny x HTTP/1.1\r\n",
    "line ends in LF": LINE.replace(b"\r", b""),
    "line ends in CR": LINE.replace(b"\n", b""),
    "CR CR LF": LINE.replace(b"\r", b"\r\r"),
    "NUL in the URL": b"GET /api/models/acme\x00/tiny HTTP/1.1\r\n",
    "first line folded": LINE + b" X: y\r\n",
    "absolute-form": b"GET https://huggingface.co/api/models/acme/tiny HTTP/1.1\r\n",
    "absolute-form of another": b"GET http://127.0.0.1/x HTTP/1.1\r\n",
    "asterisk": b"OPTIONS * HTTP/1.1\r\n",
    "TRACE": b"TRACE /api/models/acme/tiny HTTP/1.1\r\n",
    "trace": b"trace /api/models/acme/tiny HTTP/1.1\r\n",
    "TRACK": b"TRACK /api/models/acme/tiny HTTP/1.1\r\n",
    "fragment": b"GET /api/models/acme/tiny#x HTTP/1.1\r\n",
    "bytes that are no ASCII": b"GET /api/models/acme/t\xc3\xafny HTTP/1.1\r\n",
    "a URL of 20 KiB": b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n",
}

_HEADS: dict[str, bytes] = {
    "no Host": LINE + b"\r\n",
    "HTTP/1.0 without Host": b"GET /api/models/acme/tiny HTTP/1.0\r\n\r\n",
    "HTTP/0.9": b"GET /api/models/acme/tiny\r\n",
    "preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "block ends in LF": GET + b"\n",
    "NUL in a value": GET + b"X: a\x00b\r\n\r\n",
    "DEL in a value": GET + b"X: \x7f\r\n\r\n",
    "no name": GET + b": x\r\n\r\n",
    "no colon": GET + b"X\r\n\r\n",
    "bracket in a name": GET + b"X[]: y\r\n\r\n",
    "two Hosts": GET + b"Host: evil.example\r\n\r\n",
    "Host is a list": LINE + b"Host: huggingface.co, evil.example\r\n\r\n",
    "Host of another": LINE + b"Host: www.modelscope.cn\r\n\r\n",
    "Host with a user": LINE + b"Host: evil@huggingface.co\r\n\r\n",
    "Host with a port": LINE + b"Host: huggingface.co:80\r\n\r\n",
    "Host is empty": LINE + b"Host:\r\n\r\n",
    "CONNECT inside": b"CONNECT 127.0.0.1:443 HTTP/1.1\r\nHost: 127.0.0.1:443\r\n\r\n",
    "CONNECT to itself": b"CONNECT huggingface.co:443 HTTP/1.1\r\nHost: huggingface.co:443\r\n\r\n",
    "64 KiB of fields": GET + b"X: y\r\n" * 12000 + b"\r\n",
    "a name of 64 KiB": GET + b"X" * 70000 + b": y\r\n\r\n",
}

REFUSED: dict[str, list[bytes]] = {name: posts(*entry) for name, entry in _BODIES.items()}
REFUSED |= {name: [line + HOST + b"\r\n"] for name, line in _LINES.items()}
REFUSED |= {name: [raw] for name, raw in _HEADS.items()}

SOUND: dict[str, list[bytes]] = {
    "chunked": posts(TE, b"5\r\nhello\r\n" + NONE),
    "chunked in capitals": posts(b"TRANSFER-ENCODING: CHUNKED\r\n", b"5\r\nhello\r\n" + NONE),
    "space around a value": posts(b"Transfer-Encoding: \t chunked \t \r\n", b"5\r\nhello\r\n" + NONE),
    "extensions": posts(TE, b'5;a;b=c;d="e; f"\r\nhello\r\n0;g\r\n\r\n'),
    "many zeros": posts(TE, b"000000000000005\r\nhello\r\n000\r\n\r\n"),
    "a length": posts(FIVE, b"hello"),
    "no body": posts(b"Content-Length: 0\r\n", b""),
    "a body that looks like a request": posts(
        b"Content-Length: 38\r\n", b"GET /smuggled HTTP/1.1\r\nHost: evil\r\n\r\n"
    ),
    "a chunk that looks like a request": posts(TE, b"26\r\nGET /smuggled HTTP/1.1\r\nHost: evil\r\n\r\n\r\n" + NONE),
    "a body on GET": [GET + FIVE + b"\r\nhello", GET + TE + b"\r\n5\r\nhello\r\n" + NONE],
    "a body on GET that looks like a request": [
        GET + b"Content-Length: 38\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: evil\r\n\r\n"
    ],
    "empty lines before": [b"\r\n\r\n" + GET + b"\r\n"],
}

#: Paths of both hubs that are not believed (RFC 3986 §3.3 allows them; what they mean depends on who reads).
PATHS = [
    "/acme/tiny/resolve/main/../../../etc/passwd",
    "/acme/tiny/resolve/main/./old.bin",
    "/acme/tiny/resolve/main/..",
    "/acme/tiny/resolve/main/%2e%2e/old.bin",
    "/acme/tiny/resolve/main/%2E/old.bin",
    "/acme/tiny/resolve/main/.%2e/x",
    "/acme%2ftiny/resolve/main/old.bin",
    "/acme/tiny%2fresolve/main/old.bin",
    "/acme/tiny/resolve/main/a%5Cold.bin",
    "/acme/tiny/resolve/main/a\\old.bin",
    "/acme/tiny/resolve/main/..%5c..%5cx",
    "/acme/tiny/resolve/main/old.bin%00.txt",
    "/acme/tiny/resolve/main/%0d%0aX-A:%20b",
    "/acme/tiny/resolve/main/a%0ab",
    "/acme/tiny/resolve/main/%252e%252e/old.bin",
    "/acme/tiny/resolve/main/a%252fold.bin",
    "/acme/tiny/resolve/main/%25%32%66x",
    "/acme/tiny/resolve/main/a%255cb",
    "/acme/tiny/resolve/main/a%2500",
    "/acme/tiny/resolve/main/a%25252fb",
    "/acme/tiny/resolve/main//old.bin",
    "//acme/tiny/resolve/main/old.bin",
    "/acme//tiny/resolve/main/old.bin",
    "/acme/tiny/resolve/main/%",
    "/acme/tiny/resolve/main/%4",
    "/acme/tiny/resolve/main/%zz",
    "/acme/tiny/resolve/main/%u002f",
    "/acme/tiny/resolve/main/%ff",
    "/acme/tiny/resolve/main/%c0%af",
    "/acme/tiny/resolve/main/%ed%a0%80",
    "/acme/tiny/resolve/main/%7f",
    "/acme/tiny/resolve/main/%1b",
    "/acme/tiny/resolve/main/%09",
    "/acme/tiny/resolve/main/" + "a" * 1100,
    "/acme/tiny/resolve/main/" + "a/" * 600 + "x",
    "/acme/tiny/resolve/main/" + "%61" * 1100,
    "/..",
    "/%2e%2e",
    "/../..",
    "/.",
    "/api/models/acme/tiny/../../../whoami-v2",
    "/api/models/acme/..%2ftiny",
    "/api/models//acme/tiny",
    "/api/models/acme/tiny/revision/..%2f..%2fx",
    "/datasets/acme/tiny-ds/resolve/main/..%2fx",
]
MODELSCOPE_PATHS = [
    "/models/acme/tiny/resolve/master/../x",
    "/models/acme/tiny/resolve/master/%2e%2e/x",
    "/models/acme/tiny/resolve/master/a%5cb",
    "/models/acme/tiny/resolve/master/a%00b",
    "/models/acme/tiny/resolve/master//x",
    "/models/acme/tiny/resolve/master/%252e%252e/x",
    "/api/v1/models/acme/tiny/../../users",
    "/api/v1/models/acme%2ftiny/repo?FilePath=x",
    "/api/v1//models/acme/tiny",
    "/api/v1/models/acme/tiny/repo?Revision=master&FilePath=../x",
    "/api/v1/models/acme/tiny/repo?Revision=master&FilePath=a%00b",
    "/api/v1/models/acme/tiny/repo?Revision=master&FilePath=..%2f..%2fx",
    "/api/v1/models/acme/tiny/repo?Revision=master&FilePath=a%5cb",
    "/api/v1/models/acme/tiny/repo?Revision=..%2fx&FilePath=y",
    "/api/v1/models/acme/tiny/repo?FilePath=a&FilePath=b",
    "/api/v1/models/acme/tiny/repo?FilePath=a&filepath=b",
    "/api/v1/models/acme/tiny/repo?Revision=master&FilePath=/etc/passwd",
]
