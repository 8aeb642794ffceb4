"""审计证据: answers that prove their completeness, in a file or on paper."""
