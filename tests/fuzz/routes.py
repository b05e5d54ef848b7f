"""URLs, in whatever way they come: requests, redirects, signed links, names of repos, keys on disk."""

from __future__ import annotations

from urllib.parse import unquote, unquote_plus, urlsplit

from hypothesis import strategies as st

from proxy_addon.core.errors import UpstreamFailed
from proxy_addon.core.messages import Headers
from proxy_addon.edge.intake import authority
from proxy_addon.fetch.upstream import location_of
from proxy_addon.hub import huggingface as hf
from proxy_addon.hub import modelscope as ms
from proxy_addon.hub import paths, targets
from proxy_addon.hub.classify import Classifier
from proxy_addon.hub.resources import Document, File, Kind, Resource, Xorb
from proxy_addon.hub.signed import expiry
from proxy_addon.hub.subjects import subject_of

from .target import Target, joined, octets, row, text_of

CLASSIFIER = Classifier()
SHA, HEX = b"1a2b3c4d5e6f" + b"0" * 28, b"ab" * 32
_HOSTS = (
    b"huggingface.co", b"hf.co", b"modelscope.cn", b"www.modelscope.ai", b"cdn-lfs.hf.co", b"cdn-lfs.modelscope.cn",
    b"transfer.xethub.hf.co", b"cas-server.xethub.hf.co", b"cas-bridge.xethub.hf.co", b"datasets-server.huggingface.co",
    b"router.huggingface.co", b"evil-huggingface.co", b"huggingface.co.evil.example", b"plain.example", b"",
)  # fmt: skip
_WORDS = (
    b"api", b"models", b"datasets", b"spaces", b"studios", b"buckets", b"resolve", b"raw", b"blob", b"main", b"tree",
    b"revision", b"resolve-cache", b"refs", b"pr", b"1", SHA, HEX, HEX[:60], b"ab", b"lfs-objects", b"xorbs",
    b"default",
    b"reconstructions", b"v1", b"v2", b"manifests", b"blobs", b"sha256:" + HEX, b"info", b"lfs", b"objects", b"batch",
    b"git-upload-pack", b"org", b"name", b"name.git", b"repo", b"files", b"commits", b"openapi", b"42", b"..", b".",
    b"%2e%2e", b"%2E.", b"%2f", b"a%2Fb", b"%252e", b"%252F", b"a%20b", b"%00", b"%0a", b"%c3%a9", b"%ff", b"%5c", b"%",
    b"\\", b"", b"..;", b"%u002e", b"R%65solve", b"RESOLVE", b"x.bin", b"a+b", b"\xc3\xa9",
)  # fmt: skip
_QUERIES = (
    b"Revision=master", b"FilePath=a%2Fb", b"FilePath=../x", b"FilePath=%252e%252e/x", b"filepath=c", b"Root=d",
    b"Recursive=True", b"View=true", b"download=true", b"Expires=1700000000", b"Signature=x", b"X-Amz-Expires=60",
    b"X-Amz-Date=20240101T000000Z", b"auth_key=1700000000-0-0-x", b"X-Xet-Signed-Range=bytes%3D0-9", b"token=t",
    b"dataset=org%2Fname", b"=", b"%", b"FilePath", b"response-content-type=x",
)  # fmt: skip
_PATHS = st.one_of(
    row(_WORDS, 10, b"/"),
    joined(st.sampled_from((b"", b"datasets/")), st.just(b"org/name/resolve/main/"), row(_WORDS, 3, b"/")),
)
_URLS = joined(
    st.sampled_from((b"GET ", b"HEAD ", b"POST ", b"PUT ", b"x ")),
    st.sampled_from(_HOSTS), st.just(b"/"), _PATHS, st.sampled_from((b"", b"?", b"?")), row(_QUERIES, 4, b"&"),
)  # fmt: skip
_SEEDS = (
    b"GET huggingface.co/org/name/resolve/main/d/x.bin?download=true",
    b"GET huggingface.co/datasets/org/name/resolve/refs%2Fpr%2F1/a%20b",
    b"GET huggingface.co/api/resolve-cache/models/org/name/" + SHA + b"/d%2Fx",
    b"GET huggingface.co/api/models/org/name/tree/main/d?recursive=True",
    b"POST huggingface.co/org/name.git/info/lfs/objects/batch",
    b"GET huggingface.co/v2/org/name/blobs/sha256:" + HEX,
    b"GET modelscope.cn/api/v1/models/org/name/repo?Revision=master&FilePath=d%2Fx",
    b"GET modelscope.cn/models/org/name/resolve/master/d/x",
    b"GET cdn-lfs.modelscope.cn/prod/lfs-objects/ab/ab/" + HEX[:60] + b"?auth_key=1700000000-0-0-x",
    b"GET transfer.xethub.hf.co/xorbs/default/" + HEX + b"?X-Xet-Signed-Range=bytes%3D0-9&Expires=170000&Signature=x",
    b"GET cas-server.xethub.hf.co/v1/reconstructions/" + HEX,
    b"GET datasets-server.huggingface.co/rows?dataset=org%2Fname&config=default",
)
_MEANT = (*_WORDS, *_QUERIES, *_HOSTS[:-1], b"/", b"?", b"&", b"#", b"%2F", b"//")


def routes(data: bytes) -> None:
    """Total, one reading, and that one is what everybody else would read."""
    for text in {octets(data), text_of(data)}:
        method, _, rest = text.partition(" ")
        host, slash, target = rest.partition("/")
        path, _, query = f"{slash}{target}".partition("?")
        if authority(host, "https") != (host, 443):
            host = "huggingface.co"  # no other gets so far
        found = CLASSIFIER.classify(method, "https", host, 443, path, query)
        assert found.kind in Kind and found == Classifier().classify(method, "https", host, 443, path, query)
        assert found.hub in ("huggingface", "modelscope", "other")
        _sound(found)
        if isinstance(found, File):
            _as_everybody_reads_it(found, host, path, query)
        if isinstance(found, Xorb):
            assert 0 <= found.start < found.end and found.hash in path.lower()


def _sound(found: Resource) -> None:
    subject = subject_of(found)
    key = getattr(found, "key", "")
    assert "\n" not in key and "\0" not in key and len(key) < 60_000
    for part in () if subject is None else (subject.repo.id, subject.rev, subject.path):
        if part is not None:
            assert part and not {"", ".", ".."} & set(part.split("/")) and not set(part) & set("\0\\\r\n\x7f"), part
    if isinstance(found, Document) and "Signature=" in key:
        assert not paths.is_signed(key.partition("?")[2])
    if isinstance(found, File):
        assert targets.file_of(found.key) == found or "@" in found.repo.id
        if found.hub == hf.HUB:
            again = CLASSIFIER.classify("GET", "https", "huggingface.co", 443, urlsplit(hf.resolve_url(found)).path, "")
        else:
            at = urlsplit(ms.file_url(found))
            again = CLASSIFIER.classify("GET", "https", at.hostname or "", 443, at.path, at.query)
        assert again == found


def _as_everybody_reads_it(file: File, host: str, path: str, query: str) -> None:
    """The path, decoded once, has the repo, the revision and the file in it, in this order, and nothing else."""
    plain = unquote(path).strip("/")
    kind = "" if file.repo.type == "models" else f"{file.repo.type}/"
    spelled = {f"{kind}{file.repo.id}/{verb}/{file.rev}/{file.path}" for verb in ("resolve", "RESOLVE", "Resolve")} | {
        f"api/resolve-cache/{file.repo.type}/{file.repo.id}/{file.rev}/{file.path}"
    }
    if file.hub == hf.HUB:
        assert plain in spelled, (file, path)
    elif plain != f"{kind or ''}{file.repo.id}/resolve/{file.rev}/{file.path}" and not plain.startswith("models/"):
        assert plain == f"api/v1/{file.repo.type}/{file.repo.id}/repo", (file, path)
        assert file.path in unquote_plus(query) and (file.rev == ms.TRUNK or file.rev in unquote_plus(query))


def links(data: bytes) -> None:
    """Signed links and redirects: until when they are good, what they are without their signature, where they lead."""
    for text in {octets(data), text_of(data)}:
        ends = expiry(text)
        assert ends is None or ends >= 0 or "x-amz" in text.lower()
        bare = paths.unsigned(text)
        assert not paths.is_signed(bare.partition("?")[2])
        assert len(paths.url_key(text)) <= len(text) + 40
        paths.normal_query(text.partition("?")[2])
        targets.moved_to(text)
        try:
            leads = location_of("https://huggingface.co/org/name", Headers((("Location", text),))) or ""
        except UpstreamFailed:
            continue
        hf.is_rename(leads)
        facts = hf.facts_of(302, Headers((("X-Repo-Commit", SHA.decode()), ("ETag", f'"{HEX.decode()}"'))), leads)
        assert facts is None or (facts.content_type + facts.disposition).isprintable()


def names(data: bytes) -> None:
    """What is typed on the command line is a target or a ValueError, and what is printed can be typed again."""
    text = text_of(data)
    try:
        found = targets.target(text)
    except ValueError as fault:
        assert str(fault)
        return
    assert targets.target(str(found)) == found and "\n" not in str(found)


def keys(data: bytes) -> None:
    found = targets.file_of(data.decode("utf-8", "replace"))
    assert found is None or targets.file_of(found.key) in (found, None) or "%" in found.rev


TARGETS = (
    Target("routes", routes, _SEEDS, _URLS, _MEANT),
    Target("links", links, (*(b"https://" + each[4:] for each in _SEEDS), b"//[", b"https://[::1", b"/a:b"), None,
        _MEANT),
    Target(
        "names", names, (b"hf:org/name@main", b"ms:datasets/org/name@v1.0", b"ms.ai:org/name", b"hf:gpt2@refs/pr/1"),
        row((b"hf", b"ms", b".ai", b":", b"/", b"@", b"org", b"name", b"..", b"datasets", b"main", b" ", b"\n"), 9),
        _MEANT,
    ),
    Target("keys", keys, (b"file:huggingface/models/org/name@main/d/x",
        b"file:modelscope.ai/models/o/n@refs%2Fpr%2F1/x")),
)  # fmt: skip
