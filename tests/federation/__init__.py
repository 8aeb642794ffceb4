"""联邦的测试: several organizations, whole years, real lanes."""
