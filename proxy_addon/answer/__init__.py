"""How each kind of resource is answered: one module a kind. They decide nothing about HTTP caching themselves; they
bring together what `core` decides, what `store` holds and what `fetch` brings."""
