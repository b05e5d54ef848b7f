"""Programs for the ModelScope SDK, old and new: each is given its plan as JSON, and prints digests as JSON."""

PRELUDE = """
    import hashlib, json, sys
    from pathlib import Path
    from modelscope import snapshot_download
    from modelscope.hub.file_download import model_file_download
    def digest(file):
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    def whole(folder):
        files = (p for p in Path(folder).rglob("*") if p.is_file() and not p.name.startswith("."))
        return {p.relative_to(folder).as_posix(): digest(p) for p in files}
    plan = json.loads(sys.argv[1])
"""
FILES = PRELUDE + "    print(json.dumps([digest(model_file_download(id, path)) for id, path in plan]))\n"
SNAPSHOTS = PRELUDE + (
    "    print(json.dumps([whole(snapshot_download(id, repo_type=type, revision=at)) for id, type, at in plan]))\n"
)
LOGIN = PRELUDE + (
    "    from modelscope.hub.api import HubApi\n"
    "    HubApi().login('ms_reader')\n"
    "    print(json.dumps([digest(model_file_download(id, path)) for id, path in plan]))\n"
)
