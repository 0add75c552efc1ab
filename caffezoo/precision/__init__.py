"""What is lost when a network runs in less than float32, and which layer loses it."""
