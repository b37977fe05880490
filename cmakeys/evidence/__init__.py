"""What a device said, kept as a value that can be verified again offline."""
