"""The whole configuration with its defaults, as the README shows it."""

EXAMPLE = """\
listen: 127.0.0.1:8080            # where clients connect; several may be given as a list
clients: [127.0.0.0/8, "::1/128"] # who may connect; beyond this machine it must be written, or `auth`
auth: null                        # an htpasswd file: who may use the proxy, and the passwords (`hubgate auth add`)
limits:                           # what a client may take up, and how slow it may be
  connections: 512                # open at a time, from one address (IPv6: from one /64)
  header_deadline: 15s            # within which a header block, or a TLS handshake, is complete
  body_rate: 1kB/s                # a request body that comes slower is cut
  stall: 10m                      # so long a connection may be silent, and a reader take less than 128 KiB of a reply
admin: {listen: 127.0.0.1:8081}   # /healthz, /metrics, /ca.pem; null switches it off
ca:
  dir: ~/.config/hubgate/ca       # what clients are to trust; in mode auto also the CA that this proxy makes for itself
  mode: auto                      # auto | offline: no CA on this machine, but a leaf that `hubgate ca issue` made
  cert: null                      # offline: the leaf, its chain and the root, PEM
  key: null                       # offline: the leaf's key, mode 0600
cache:
  dir: ~/.cache/hubgate
  size: 200GB                     # bytes on disk
  memory: 256MB                   # stored responses and small bodies kept in memory
  quarantine: 1GB                 # bytes found wrong that are kept aside for you to look at, beside `size`
  scrub: 30d                      # everything on disk is read and checked once in that time; null: never
  scrub_rate: 20MB/s              # and no faster
freshness:                        # how long before the hub is asked again
  ref: 5m                         # a branch or tag -> commit
  api: 60s                        # repo info, listings
  not_found: 30s                  # a 404 for a path at a commit
  stale_if_error: 7d              # how long past that a stored response may stand in for a hub that fails
access:                           # files of gated and private repos: bytes are shared, permission is not
  lease: 5m                       # how long a token that the hub let in counts, until the hub is asked about it again
  offline_grace: 0s               # and how long past that while the hub cannot be asked; 0s: refused then
# rules: [rules/]                 # rule files; beside this file, if they are there; a path that is named must be there
scan:                             # of files whose content a rule asks about
  seconds: 60s                    # for one file, of the processor 20 s at most; then its content counts as unknown
  workers: 2                      # processes, each with one file at a time and at most 768 MiB
  commands: []                    # further scanners: picklescan, or [program, "{file}"] (exit 0 clean, 1 found)
upstream:
  connect_to: {}                  # "host:port", "*:port" or "*:*" -> "host:port"; TLS name and Host stay
  ca_file: null                   # extra roots for upstream TLS
  proxy: null                     # a corporate proxy to go through, http://host:port
  connections_per_file: 8         # parallel ranges for one large file
  max_connections: 64             # for all fills together; when they are scarce each has one
  bandwidth: null                 # for all fills together, e.g. 400Mbps or 50MB/s
  connect_timeout: 4s
  stall_timeout: 30s              # no byte for so long: that connection is given up
hubs:
  huggingface: {enabled: true, mirrors: [], xet: auto}   # mirrors: base URLs tried first; xet: auto | bridge | native
  modelscope: {enabled: true, mirrors: []}
  others: []                      # further hosts cached by plain RFC 9111: name, name:port or "*.domain"
sync: []                          # repos kept as at their hub: hf:org/name, or {repo, every: 6h, include, exclude, pin}
tunnel: public                    # hosts that are no hub: public (relay untouched, public addresses only) | deny
uploads: allow                    # to the hubs: allow | deny (pushes, commits and uploads are answered 403 here)
access_log: null                  # one JSON line per request: a path, or "-" for standard output
drain: 30s                        # after SIGTERM, how long open downloads may take to finish
"""
