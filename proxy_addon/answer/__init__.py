"""How each kind of resource is answered. Nothing here decides about HTTP caching; it brings together what `core`
decides, what `store` holds and what `fetch` brings.

The kinds: `files` (Hugging Face's by `heads`, ModelScope's by `listed`), `documents`, `links`, `plain`, git-lfs
`batches`, container `layers`, and Xet, which `native` puts together. The other modules serve several of these.
"""
