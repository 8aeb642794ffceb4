"""演示的测试: the story as whoever runs it first sees it."""
