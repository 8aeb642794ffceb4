"""领域: what may happen, and what did; it knows no framework, broker, driver or file format."""
