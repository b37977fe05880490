"""What about this machine helps or hinders: findings, each with its meaning and the one thing to do."""
