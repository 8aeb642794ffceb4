"""Real servers and shared beginnings for the tests."""
