"""One certificate, a chain, a name: parsing, linting and chain walking. No I/O."""
