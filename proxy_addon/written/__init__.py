"""What people write in YAML files, read strictly: every fault has its line, and all of them are told together."""
