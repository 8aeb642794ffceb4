"""审计: answers about the past, from the facts themselves, on every axis of time."""
