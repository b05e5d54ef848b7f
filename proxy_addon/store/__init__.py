"""Where cached bytes live: `contract` is what others may rely on, `local.DiskStore` keeps it."""
