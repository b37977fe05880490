"""The speed and memory goals, each as a ratio measured in one run on one machine."""
