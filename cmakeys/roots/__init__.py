"""What this machine trusts: `Root`, the immutable `RootSet`, its rules, and the store that keeps it on disk."""
