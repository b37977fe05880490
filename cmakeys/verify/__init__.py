"""Policy, the fourteen numbered steps, and the `Verdict` they end in. No I/O."""
